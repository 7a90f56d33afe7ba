package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// cache is the directory of all that outlives a machine: unpacked packages, images, the guest's first process. It may
// be removed at any time when no test runs.
type cache struct {
	dir string
	log func(string)
}

func openCache(log func(string)) (*cache, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	c := &cache{filepath.Join(base, "jailrun-tests"), log}
	return c, os.MkdirAll(c.dir, 0o700)
}

// lock keeps other test runs from making the same thing at the same time.
func (c *cache) lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, name+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return func() { f.Close() }, nil
}

// unpacked returns the directory with the files of a Debian package, which apt fetches and checks on the first call.
// Nothing is installed: the package's scripts never run.
func (c *cache) unpacked(ctx context.Context, name string) (string, error) {
	unlock, err := c.lock(name)
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := filepath.Join(c.dir, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	c.log("fetching the Debian package " + name)
	tmp, err := os.MkdirTemp(c.dir, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := aptDownload(ctx, tmp, name); err != nil {
		return "", fmt.Errorf("%w: %w; sudo apt-get update && sudo apt-get install -y %s", ErrUnavailable, err, name)
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", errors.Join(fmt.Errorf("apt-get download %s left %v", name, debs), err)
	}
	return dir, c.unpack(ctx, tmp, dir, debs[0])
}

// newest follows a package that only depends on the newest version of a kernel (linux-image-amd64) to that version.
func newest(ctx context.Context, name string) (string, error) {
	if !strings.HasPrefix(name, "linux-image-") {
		return name, nil
	}
	out, err := output(ctx, "", "apt-cache", "depends", name)
	for line := range strings.Lines(string(out)) {
		if dep, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: linux-image-"); ok {
			return "linux-image-" + dep, err
		}
	}
	return name, err
}

// unpack unpacks packages beside their final place and moves them there whole.
func (c *cache) unpack(ctx context.Context, tmp, dir string, debs ...string) error {
	files := filepath.Join(tmp, "files")
	for _, deb := range debs {
		if _, err := output(ctx, tmp, "dpkg-deb", "-x", deb, files); err != nil {
			return err
		}
	}
	return os.Rename(files, dir)
}

// aptDownload fetches the newest version that apt knows into dir; apt checks it against the signed index. A machine
// without package lists (a fresh container) gets them if the caller may write them.
func aptDownload(ctx context.Context, dir, name string) error {
	download := func() error {
		pkg, err := newest(ctx, name)
		if err != nil {
			return err
		}
		_, err = output(ctx, dir, "apt-get", "download", pkg)
		return err
	}
	err := download()
	if err == nil || os.Geteuid() != 0 {
		return err
	}
	if _, err := output(ctx, dir, "apt-get", "update"); err != nil {
		return err
	}
	return download()
}

// output runs a command and returns what it prints; the error holds the end of its standard error.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLines(stderr.Bytes(), 5))
	}
	return out, nil
}

// findTool finds a program that may lie where an ordinary user's PATH does not look.
func findTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// needTools installs the packages of missing tools as root, and tells any other user the command that does. The pairs
// are tool and package.
func (c *cache) needTools(ctx context.Context, pairs ...[2]string) error {
	var missing []string
	for _, p := range pairs {
		if _, err := findTool(p[0]); err != nil {
			missing = append(missing, p[1])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	args := append([]string{"install", "-y", "--no-install-recommends"}, missing...)
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: sudo apt-get %s", ErrUnavailable, strings.Join(args, " "))
	}
	c.log("installing " + strings.Join(missing, " "))
	if _, err := output(ctx, c.dir, "apt-get", args...); err == nil {
		return nil
	}
	if _, err := output(ctx, c.dir, "apt-get", "update"); err != nil {
		return err
	}
	_, err := output(ctx, c.dir, "apt-get", args...)
	return err
}

// sha256File returns the SHA-256 of a file in hexadecimal.
func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
