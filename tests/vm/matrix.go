package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// column is one kernel of the kernel matrix: packages of Debian's archive by exact name and checksum. The archive keeps
// the newest kernels of a release only, so that a column goes missing with time; then its lines want renewing:
// apt-get download --print-uris prints them.
type column struct {
	name  string
	files []archiveFile
}

type archiveFile struct{ path, sha256 string }

func columns() []column {
	return []column{
		{"5.10", []archiveFile{
			{"pool/main/l/linux-signed-amd64/linux-image-5.10.0-32-amd64_5.10.223-1_amd64.deb", "86a6792f3a03ab15a643f385830cdaa921f15e3e9c8bf63aa55a9243c62fc797"},
		}},
		{"6.1", []archiveFile{
			{"pool/main/l/linux-signed-amd64/linux-image-6.1.0-50-amd64_6.1.176-1_amd64.deb", "7b5597492a0a65aee61985a492e6bcc3f2cde830072a0e3b3d8c7e1b90279bd3"},
		}},
		{"6.12", []archiveFile{
			{"pool/main/l/linux-signed-amd64/linux-image-6.12.107+deb13-amd64_6.12.107-1_amd64.deb", "7794643cf4560de2a7e3b069e8ca8511ad2a568d652ea285f0fe051f79bc9e99"},
		}},
		{"7.3", []archiveFile{
			{"pool/main/l/linux-signed-amd64/linux-binary-7.3.4+deb13-amd64_7.3.4-1~bpo13+1_amd64.deb", "7e3248d03a84dcdda88c567aa8c4038f2e7795d2dd167b112c56f8901b6f513f"},
			{"pool/main/l/linux/linux-modules-7.3.4+deb13-amd64_7.3.4-1~bpo13+1_amd64.deb", "b3ea01922c9f133767a83cf6891c19b3693858ded617bf22d1e34f95382c08ea"},
		}},
	}
}

// Matrix lists the kernels of the kernel matrix, oldest first, as values of Config.Kernel.
func Matrix() []string {
	var names []string
	for _, c := range columns() {
		names = append(names, c.name)
	}
	return names
}

// kernel returns the directory of an unpacked kernel: a column of the matrix, or the newest version of a package; ""
// is the one of the host's release.
func (c *cache) kernel(ctx context.Context, name string) (string, error) {
	i := slices.IndexFunc(columns(), func(col column) bool { return col.name == name })
	switch {
	case i >= 0:
		return c.column(ctx, columns()[i])
	case name == "":
		name = "linux-image-amd64"
	case !strings.HasPrefix(name, "linux-image-"):
		return "", fmt.Errorf("vm: kernel %q is neither a linux-image package nor one of %v", name, Matrix())
	}
	return c.unpacked(ctx, name)
}

// column fetches and unpacks the packages of one column. A package that the archive no longer has makes the column
// unavailable; one with another checksum is an error.
func (c *cache) column(ctx context.Context, col column) (string, error) {
	key := "kernel-" + col.name + "-" + col.files[0].sha256[:8]
	unlock, err := c.lock(key)
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := filepath.Join(c.dir, key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	sources, err := aptSources(ctx)
	if err != nil {
		return "", err
	}
	c.log("fetching the kernel of column " + col.name)
	tmp, err := os.MkdirTemp(c.dir, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	var debs []string
	for _, f := range col.files {
		deb, err := fetchFile(ctx, sources[0].uri, f, tmp)
		if err != nil {
			return "", err
		}
		debs = append(debs, deb)
	}
	return dir, c.unpack(ctx, tmp, dir, debs...)
}

// fetchFile fetches a file of the archive through apt's own program, which knows its proxies.
func fetchFile(ctx context.Context, mirror string, f archiveFile, dir string) (string, error) {
	deb := filepath.Join(dir, filepath.Base(f.path))
	uri := strings.TrimSuffix(mirror, "/") + "/" + strings.NewReplacer("+", "%2b", "~", "%7e").Replace(f.path)
	if _, err := output(ctx, dir, "/usr/lib/apt/apt-helper", "download-file", uri, deb); err != nil {
		return "", fmt.Errorf("%w: the archive has %s no longer: %w", ErrUnavailable, filepath.Base(f.path), err)
	}
	sum, err := sha256File(deb)
	if err == nil && sum != f.sha256 {
		err = errors.New(f.path + ": SHA-256 is " + sum + ", not " + f.sha256)
	}
	return deb, err
}
