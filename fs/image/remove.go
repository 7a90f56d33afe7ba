package image

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// removeAt removes a name and all below it, whatever modes an image gave to its
// directories. Nothing else writes there. What is gone already is no error.
func removeAt(parent int, name string) error {
	err := unix.Unlinkat(parent, name, 0)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case !errors.Is(err, unix.EISDIR):
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	fd, err := unix.Openat(parent, name, openDir, 0)
	if errors.Is(err, unix.EACCES) {
		// It is a directory, and no link that fchmodat would follow.
		if err = unix.Fchmodat(parent, name, 0o700, 0); err == nil {
			fd, err = unix.Openat(parent, name, openDir, 0)
		}
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	err = removeIn(fd)
	unix.Close(fd)
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// removeIn empties a directory.
func removeIn(fd int) error {
	names, err := listDir(fd)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		_ = unix.Fchmod(fd, 0o700) // if that is needed and fails, so does what follows
	}
	for _, n := range names {
		if err := removeAt(fd, n); err != nil {
			return err
		}
	}
	return nil
}

// listDir lists a directory by a descriptor of its own, so that the offset of fd
// does not matter.
func listDir(fd int) ([]string, error) {
	own, err := unix.Openat(fd, ".", openDir, 0)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	f := os.NewFile(uintptr(own), "directory "+strconv.Itoa(fd))
	defer f.Close()
	return f.Readdirnames(-1)
}

func setFdTimes(fd int, mtime time.Time) error {
	if mtime.IsZero() {
		return nil
	}
	return unix.UtimesNanoAt(fd, "", timespecs(mtime), unix.AT_EMPTY_PATH)
}
