package transfer

import (
	"os"

	"golang.org/x/sys/unix"
)

// An Area is a place inside that a job can write to: the upper directory of an
// overlay, or a directory that is writable itself.
type Area struct {
	Place string   // inside, absolute
	Upper *os.File // what was written there
	Base  *os.File // the overlay's lower layers, merged; nil if there are none

	before map[string]mark
}

// A mark tells whether an entry is still what it was.
type mark struct {
	ino   uint64
	ctime unix.Timespec
	mode  uint32
}

func markOf(st *unix.Stat_t) mark { return mark{st.Ino, st.Ctim, st.Mode} }

// Note takes down what is in the area before the job starts: what jailrun has
// put there, and what an earlier run has left, is no change of the job's.
func (a *Area) Note(r *Reader, b Bounds) error {
	a.before = map[string]mark{}
	return a.walk(r, &noter{a.before}, b)
}

func (a *Area) walk(r *Reader, v visitor, b Bounds) error {
	var st unix.Stat_t
	fd, err := unix.FcntlInt(a.Upper.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = r.fstat(fd, &st)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: a.Place, Err: err}
	}
	if err := (&walk{r: r, v: v, left: b.Entries}).tree(fd, &st); err != nil {
		return &os.PathError{Op: "look through", Path: a.Place, Err: err}
	}
	return nil
}

type noter struct{ marks map[string]mark }

func (n *noter) note(e *entry) error { n.marks[e.path] = markOf(&e.st); return nil }

func (n *noter) file(e *entry, _ int) error          { return n.note(e) }
func (n *noter) enter(e *entry, _ int) (bool, error) { return true, n.note(e) }
func (n *noter) leave(*entry) error                  { return nil }
func (n *noter) other(e *entry) error                { return n.note(e) }
func (n *noter) skip(e *entry, _ error)              { n.marks[e.path] = markOf(&e.st) }

func (a *Area) inside(path string) string {
	if path == "" {
		return a.Place
	}
	if a.Place == "/" {
		return "/" + path
	}
	return a.Place + "/" + path
}

func typeName(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	}
	return ""
}
