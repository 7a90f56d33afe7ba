package image

import (
	"strings"

	"golang.org/x/sys/unix"
)

// A walker goes to directories below a root, by descriptor and without
// following a link. It keeps the way to where it was: the next entry of a tar is
// mostly near.
type walker struct {
	root  int
	where string // relative to root, "." at it
	way   []level
}

type level struct {
	end int // of the name in where
	fd  int
}

const openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

func newWalker(root int) walker { return walker{root: root, where: "."} }

// fd is the directory where the walker is.
func (w *walker) fd() int {
	if len(w.way) == 0 {
		return w.root
	}
	return w.way[len(w.way)-1].fd
}

// up leaves everything below the first n components.
func (w *walker) up(n int) {
	for _, l := range w.way[n:] {
		_ = unix.Close(l.fd)
	}
	w.way = w.way[:n]
	if n == 0 {
		w.where = "."
		return
	}
	w.where = w.where[:w.way[n-1].end]
}

// to goes to dir. When a component cannot be entered step decides: it gets the
// walker in front of it, its name and the error, and either makes the directory
// and returns nil, or returns why not.
func (w *walker) to(dir string, step func(path, name string, err error) error) (int, error) {
	if dir == w.where {
		return w.fd(), nil
	}
	w.up(w.common(dir))
	if dir == w.where {
		return w.fd(), nil
	}
	rest := dir
	if w.where != "." {
		rest = strings.TrimPrefix(dir[len(w.where):], "/")
	}
	for name := range strings.SplitSeq(rest, "/") {
		path := name
		if w.where != "." {
			path = w.where + "/" + name
		}
		fd, err := unix.Openat(w.fd(), name, openDir, 0)
		if err != nil {
			if err = step(path, name, err); err != nil {
				return -1, err
			}
			if fd, err = unix.Openat(w.fd(), name, openDir, 0); err != nil {
				return -1, err
			}
		}
		w.where = path
		w.way = append(w.way, level{len(path), fd})
	}
	return w.fd(), nil
}

// common counts the leading components of where that lead to dir as well.
func (w *walker) common(dir string) int {
	n := 0
	for _, l := range w.way {
		if len(dir) < l.end || dir[:l.end] != w.where[:l.end] || len(dir) > l.end && dir[l.end] != '/' {
			break
		}
		n++
	}
	return n
}
