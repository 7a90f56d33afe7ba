package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// realPath returns the name of a file outside without symbolic links, and what
// it is. The kernel is asked once for the whole path; filepath.EvalSymlinks
// would look at each part of it.
func realPath(name string) (string, *unix.Stat_t, error) {
	fd, err := -1, error(nil)
	plain := name[:min(1, len(name))] == "/" && filepath.Clean(name) == name
	if plain { // most names are, and then it is known with that
		fd, err = unix.Openat2(unix.AT_FDCWD, name, &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
		})
		plain = err == nil
	}
	if !plain {
		fd, err = unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var st, again unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", nil, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	if plain {
		return name, &st, nil
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf[:])
	if err == nil && n < len(buf) {
		real := string(buf[:n])
		if unix.Lstat(real, &again) == nil && again.Ino == st.Ino && again.Dev == st.Dev {
			return real, &st, nil
		}
	}
	// No /proc, or a name that does not lead there.
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", nil, err
	}
	if err := unix.Lstat(real, &again); err != nil || again.Ino != st.Ino || again.Dev != st.Dev {
		return "", nil, &os.PathError{Op: "resolve", Path: name, Err: errors.Join(err, errChanged)}
	}
	return real, &st, nil
}

var errChanged = errors.New("it changes while it is looked at")
