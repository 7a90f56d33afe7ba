package vm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// recipe is what makes the image of lane systemd; any change of it, and a host of another release, makes a new image.
type recipe struct {
	Format   int // of the steps below
	Packages []string
	MiB      int
	Release  string // codename of the host's Debian
}

func systemdRecipe(release string) recipe {
	return recipe{
		Format: 2,
		Packages: []string{
			"systemd", "systemd-sysv", "dbus-user-session", "libpam-systemd", "uidmap", "procps", "iproute2", "ca-certificates",
			"python3", // victims of hostile tests are written in it
		},
		MiB:     1024,
		Release: release,
	}
}

func (r recipe) file() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", r))
	return fmt.Sprintf("systemd-%x.ext2", sum[:8])
}

// aptSource is one index of the host's apt.
type aptSource struct{ codename, uri string }

// aptSources asks apt which archives of Debian it uses, so that no mirror has to be written down here. The main
// archive comes first in apt's order on every host seen.
func aptSources(ctx context.Context) ([]aptSource, error) {
	out, err := output(ctx, "", "apt-get", "indextargets", "--format",
		"$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var found []aptSource
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 5 && f[0] == "Debian" && f[1] == "Debian" && f[2] == "main" {
			found = append(found, aptSource{f[3], f[4]})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: apt knows no archive of Debian (no package lists? sudo apt-get update)", ErrUnavailable)
	}
	return found, nil
}

// image returns the disk image of lane systemd, made anew if its recipe has changed. As root that takes half a minute;
// an ordinary user needs subordinate ids (mmdebstrap --mode=unshare).
func (c *cache) image(ctx context.Context) (string, error) {
	sources, err := aptSources(ctx)
	if err != nil {
		return "", err
	}
	r := systemdRecipe(sources[0].codename)
	path := filepath.Join(c.dir, r.file())
	unlock, err := c.lock("systemd-image")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := c.needTools(ctx, [2]string{"mmdebstrap", "mmdebstrap"}, [2]string{"genext2fs", "genext2fs"}, [2]string{"newuidmap", "uidmap"}); err != nil {
		return "", err
	}
	c.log("making the image of lane systemd (half a minute)")
	tmp, err := os.MkdirTemp(c.dir, "image-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "image.ext2")
	if err := debootstrap(ctx, r, sources[0], file); err != nil {
		return "", err
	}
	if err := grow(ctx, file, r.MiB); err != nil {
		return "", err
	}
	old, _ := filepath.Glob(filepath.Join(c.dir, "systemd-*.ext2"))
	for _, image := range old { // of other recipes; a machine that runs on one keeps it open
		_ = os.Remove(image)
	}
	return path, errors.Join(os.Chmod(file, 0o444), os.Rename(file, path))
}

func debootstrap(ctx context.Context, r recipe, from aptSource, file string) error {
	mode := "--mode=root"
	if os.Geteuid() != 0 {
		mode = "--mode=unshare"
	}
	_, err := output(ctx, filepath.Dir(file), "mmdebstrap", mode, "--variant=essential", "--format=ext2",
		"--include="+strings.Join(r.Packages, ","), r.Release, file, from.uri)
	if err != nil && os.Geteuid() != 0 {
		return fmt.Errorf("%w: an image without root needs subordinate ids: %w", ErrUnavailable, err)
	}
	return err
}

// grow gives the file system room, and file types in its directories: without them an overlay on it shows its own
// whiteouts. What a guest writes goes to a copy-on-write file of its own.
func grow(ctx context.Context, file string, mib int) error {
	if err := os.Truncate(file, int64(mib)<<20); err != nil {
		return err
	}
	for _, step := range [][]string{{"tune2fs", "-O", "filetype,dir_index"}, {"e2fsck", "-fyD"}, {"resize2fs"}} {
		tool, err := findTool(step[0])
		if err != nil {
			return err
		}
		_, err = output(ctx, filepath.Dir(file), tool, append(step[1:], file)...)
		var exit *exec.ExitError
		if errors.As(err, &exit) && step[0] == "e2fsck" && exit.ExitCode() == 1 { // errors corrected
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
