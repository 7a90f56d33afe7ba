package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
)

// fuseProgram is fuse-overlayfs as it was found.
type fuseProgram struct {
	path    string
	version string // "1.10"; "" if it does not say
	system  []fs.Entry
}

// String names it for a note.
func (p *fuseProgram) String() string { return strings.TrimSpace("fuse-overlayfs " + p.version) }

// fuseDirs is where fuse-overlayfs is looked for. All lie in what is shown of
// the system to a server; PATH belongs to whoever calls us.
var fuseDirs = []string{"/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"}

// FuseOverlay says which fuse-overlayfs stands in for an overlay where the
// kernel has none, as "fuse-overlayfs 1.10", or why none can: it must be
// root's, and /dev/fuse must be open to the caller.
func FuseOverlay() (string, error) {
	p, err := findFuse()
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// ErrNoFuse reports that fuse-overlayfs is not installed.
var ErrNoFuse = errors.New("fuse-overlayfs is not installed")

func findFuse() (*fuseProgram, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	unix.Close(fd)
	for _, dir := range fuseDirs {
		path := dir + "/fuse-overlayfs"
		var st unix.Stat_t
		switch err := unix.Stat(path, &st); {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			continue
		case err != nil:
			return nil, &os.PathError{Op: "stat", Path: path, Err: err}
		case !ownedLike(dir, &st):
			return nil, fmt.Errorf("%s can be changed by others than root", path)
		case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0:
			return nil, fmt.Errorf("%s is no program", path)
		}
		version, err := fuseVersion(path)
		return &fuseProgram{path, version, fs.SystemTrees()}, err
	}
	return nil, fmt.Errorf("%w in %s", ErrNoFuse, strings.Join(fuseDirs, ", "))
}

// ownedLike reports whether a program of the system's can be changed by root
// alone. In a user namespace that root is nobody, as the owner of /usr is.
func ownedLike(dir string, st *unix.Stat_t) bool {
	var top unix.Stat_t
	if unix.Stat("/usr", &top) != nil || st.Uid != top.Uid || st.Mode&0o022 != 0 {
		return false
	}
	err := unix.Stat(dir, &top)
	return err == nil && st.Uid == top.Uid && top.Mode&0o022 == 0
}

// fuseVersion asks the program, which says "fuse-overlayfs: version 1.10".
func fuseVersion(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	_, rest, found := strings.Cut(string(out), "fuse-overlayfs: version ")
	if !found {
		return "", nil
	}
	line, _, _ := strings.Cut(rest, "\n")
	return printable(line), nil
}

// fuseOverlay finds fuse-overlayfs once; only a root without an overlay asks.
func (f *facts) fuseOverlay() (*fuseProgram, error) {
	if f.fuse == nil && f.fuseErr == nil {
		f.fuse, f.fuseErr = findFuse()
	}
	return f.fuse, f.fuseErr
}
