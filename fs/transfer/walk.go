package transfer

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// An entry is one name of a tree.
type entry struct {
	path string // from the place that was named, without a leading slash; "" for that itself
	name string // last part of path
	dir  int    // the directory it lies in, open for reading; -1 for the place itself
	st   unix.Stat_t
}

func (e *entry) kind() uint32 { return e.st.Mode & unix.S_IFMT }

// A visitor is told what a walk meets, directories before what is in them,
// names in order. An error ends the walk.
type visitor interface {
	// file gets a regular file, open for reading, which the walk closes.
	file(e *entry, fd int) error
	// enter gets a directory, open for reading. The walk goes into it if ok.
	enter(e *entry, fd int) (ok bool, err error)
	// leave is called for each directory that was entered, when all in it was visited.
	leave(e *entry) error
	// other gets what is neither.
	other(e *entry) error
	// skip is told what could not be read and why; the walk goes on.
	skip(e *entry, why error)
}

// A walk goes over one tree.
type walk struct {
	r    *Reader
	v    visitor
	left int // entries that it may still meet
	// crosses: what is mounted in the tree is part of it.
	crosses bool
}

// tree visits what is open as fd, which it closes.
func (w *walk) tree(fd int, st *unix.Stat_t) error {
	e := entry{dir: -1, st: *st}
	w.left--
	if e.kind() == unix.S_IFREG {
		defer unix.Close(fd)
		return w.v.file(&e, fd)
	}
	return w.directory(&e, fd, 0)
}

// directory visits e, open as fd, which it closes.
func (w *walk) directory(e *entry, fd, depth int) error {
	defer unix.Close(fd)
	if depth > maxDepth {
		w.v.skip(e, ErrTooDeep)
		return nil
	}
	ok, err := w.v.enter(e, fd)
	if err != nil || !ok {
		return err
	}
	list, err := names(fd, w.left)
	if err != nil {
		if errors.Is(err, ErrTooMany) {
			return err
		}
		w.v.skip(e, err)
		list = nil
	}
	w.left -= len(list)
	for _, name := range list {
		if err := w.name(e, name, fd, depth); err != nil {
			return err
		}
	}
	return w.v.leave(e)
}

func (w *walk) name(in *entry, name string, dir, depth int) error {
	e := entry{path: join(in.path, name), name: name, dir: dir}
	path, err := w.r.stat(dir, name, &e.st)
	if path >= 0 {
		unix.Close(path)
	}
	if errors.Is(err, unix.EXDEV) { // another mount: no part of this tree
		return nil
	}
	if err != nil {
		w.v.skip(&e, err)
		return nil
	}
	kind := e.kind()
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return w.v.other(&e)
	}
	flags := unix.O_RDONLY
	if kind == unix.S_IFDIR {
		flags |= unix.O_DIRECTORY
	}
	resolve := uint64(resolveBelow)
	if w.crosses {
		resolve = resolveAt
	}
	fd, err := w.r.open(dir, name, flags, resolve)
	if err == nil {
		err = w.r.same(fd, &e.st)
	}
	switch {
	case errors.Is(err, unix.EXDEV): // another mount: no part of this tree
		return nil
	case err != nil:
		w.v.skip(&e, err)
		return nil
	case kind == unix.S_IFDIR:
		return w.directory(&e, fd, depth+1)
	}
	defer unix.Close(fd)
	return w.v.file(&e, fd)
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// Skipped is what was left out of a copy: how many entries, and the first few
// of them with the reason, in words.
type Skipped struct {
	Count int
	First []string
}

func (s *Skipped) add(path, why string) {
	const most = 8
	if s.Count++; s.Count <= most {
		s.First = append(s.First, strconv.Quote(path)+": "+why)
	}
}
