package fs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrTooMany reports a tree with more entries than are looked at.
var ErrTooMany = errors.New("more files than are looked through")

// Special looks for a socket, FIFO or device in a tree of the host's, which a
// read-only bind mount would lend to the job, and returns the first one's name,
// "" for none. It looks at no more than most entries, goes into no symbolic
// link, and passes over directories that the caller may not read.
func Special(dir string, most int) (string, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: dir, Err: err}
	}
	s := search{left: most}
	return s.dir(os.NewFile(uintptr(fd), dir), dir, 0)
}

type search struct{ left int }

// maxSearch is how deep a tree is looked through; each level holds a descriptor.
const maxSearch = 256

func (s *search) dir(d *os.File, name string, depth int) (string, error) {
	defer d.Close()
	if depth > maxSearch {
		return "", ErrTooMany
	}
	list, err := d.ReadDir(s.left + 1)
	if len(list) > s.left {
		return "", ErrTooMany
	}
	if len(list) == 0 {
		_ = err // an empty directory, or one that ends while it is read
		return "", nil
	}
	s.left -= len(list)
	for _, e := range list {
		path := name + "/" + e.Name()
		if e.Type()&(os.ModeSocket|os.ModeNamedPipe|os.ModeDevice|os.ModeCharDevice) != 0 {
			return path, nil
		}
		if !e.IsDir() {
			continue
		}
		fd, err := unix.Openat(int(d.Fd()), e.Name(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			return "", &os.PathError{Op: "open", Path: path, Err: err}
		}
		if found, err := s.dir(os.NewFile(uintptr(fd), path), path, depth+1); found != "" || err != nil {
			return found, err
		}
	}
	return "", nil
}
