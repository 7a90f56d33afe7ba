package transfer

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Change is one thing that a job has done to the files it could write to.
type Change struct {
	Path   string `json:"path"`   // inside, absolute
	Change string `json:"change"` // created, changed or deleted
	Type   string `json:"type,omitempty"`
	Mode   string `json:"mode,omitempty"` // octal, with setuid, setgid and sticky
	Size   *int64 `json:"size,omitempty"` // of a file, in bytes
	SHA256 string `json:"sha256,omitempty"`
	Link   string `json:"link,omitempty"`  // where a symbolic link points
	Error  string `json:"error,omitempty"` // why the content is not known
}

// Words of Change.Change.
const (
	Created = "created"
	Changed = "changed"
	Deleted = "deleted"
)

// Diff tells each change since Note, directories before what is in them. Of what
// was copied up and not changed there is no word. It stops at an error of tell.
func (a *Area) Diff(r *Reader, b Bounds, tell func(Change) error) error {
	d := differ{a: a, r: r, tell: tell, left: b.Bytes, buf: make([]byte, 128<<10)}
	defer d.close()
	if err := a.walk(r, &d, b); err != nil {
		return err
	}
	var gone []string
	for path := range a.before {
		gone = append(gone, path)
	}
	slices.Sort(gone)
	for _, path := range gone {
		if err := tell(Change{Path: a.inside(path), Change: Deleted, Type: typeName(a.before[path].mode)}); err != nil {
			return err
		}
	}
	return nil
}

// A differ compares what it visits with what was there before.
type differ struct {
	a     *Area
	r     *Reader
	tell  func(Change) error
	bases []int // the same directories in the lower layers; -1 where there is none
	left  int64
	buf   []byte
}

func (d *differ) close() {
	for _, fd := range d.bases {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// was returns what the entry was before the job; ok is false if it was not
// there. same: nobody has touched it.
func (d *differ) was(e *entry, st *unix.Stat_t) (ok, same bool) {
	m, noted := d.a.before[e.path]
	delete(d.a.before, e.path)
	if noted && m == markOf(&e.st) {
		return true, true
	}
	if base := d.base(); base >= 0 && e.dir >= 0 {
		fd, err := d.r.stat(base, e.name, st)
		if fd >= 0 {
			unix.Close(fd)
		}
		if err == nil {
			return true, false
		}
	}
	st.Mode = m.mode
	return noted && !isWhiteoutMode(m.mode), false
}

func isWhiteoutMode(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFCHR }

// base is the directory in the lower layers that is being compared, or -1.
func (d *differ) base() int {
	if len(d.bases) == 0 {
		return -1
	}
	return d.bases[len(d.bases)-1]
}

func (d *differ) change(e *entry, was bool) Change {
	c := Change{Path: d.a.inside(e.path), Change: Created, Type: typeName(e.st.Mode), Mode: octalText(e.st.Mode & 0o7777)}
	if was {
		c.Change = Changed
	}
	return c
}

// octalText is a mode in at least four digits.
func octalText(mode uint32) string {
	text := strconv.FormatUint(uint64(mode), 8)
	return "0000"[min(len(text), 4):] + text
}

func (d *differ) file(e *entry, fd int) error {
	var st unix.Stat_t
	was, same := d.was(e, &st)
	if same {
		return nil
	}
	c := d.change(e, was)
	c.Size = &e.st.Size
	c.SHA256, c.Error = d.hash(fd, e.st.Size)
	if was && st.Mode == e.st.Mode && st.Size == e.st.Size && c.SHA256 != "" && d.baseHash(e) == c.SHA256 {
		return nil // copied up, as an open for writing does, and not changed
	}
	return d.tell(c)
}

// hash returns the hash of a file's content, or why there is none.
func (d *differ) hash(fd int, size int64) (sum, why string) {
	if size > d.left {
		return "", ErrTooLarge.Error()
	}
	d.left -= size
	s := newSHA256()
	for at := int64(0); at < size; {
		n, err := pread(fd, d.buf[:min(int64(len(d.buf)), size-at)], at)
		if err != nil {
			return "", err.Error()
		}
		if n == 0 {
			return "", "became shorter"
		}
		_, _ = s.Write(d.buf[:n])
		at += int64(n)
	}
	return s.sum(), ""
}

func (d *differ) baseHash(e *entry) string {
	base := d.base()
	if base < 0 {
		return ""
	}
	fd, err := d.r.open(base, e.name, unix.O_RDONLY, resolveBelow)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	sum, _ := d.hash(fd, e.st.Size)
	return sum
}

func (d *differ) enter(e *entry, fd int) (bool, error) {
	if e.dir < 0 {
		delete(d.a.before, "")
		base := -1
		if d.a.Base != nil {
			var err error
			if base, err = unix.FcntlInt(d.a.Base.Fd(), unix.F_DUPFD_CLOEXEC, 3); err != nil {
				return false, err
			}
		}
		d.bases = append(d.bases, base)
		return true, nil
	}
	var st unix.Stat_t
	was, same := d.was(e, &st)
	if !same && !(was && st.Mode == e.st.Mode) {
		if err := d.tell(d.change(e, was)); err != nil {
			return false, err
		}
	}
	below := -1
	if base := d.base(); base >= 0 {
		below, _ = d.r.open(base, e.name, unix.O_RDONLY|unix.O_DIRECTORY, resolveBelow)
	}
	d.bases = append(d.bases, below)
	if below < 0 {
		return true, nil
	}
	return true, d.hidden(e, fd, below)
}

// hidden tells of what an opaque directory hides and does not have itself.
func (d *differ) hidden(e *entry, fd, below int) error {
	value, err := d.r.xattr(fd, opaqueXattr)
	if err != nil || string(value) != "y" {
		return err
	}
	const most = 1 << 20
	old, err := names(below, most)
	if err != nil {
		return err
	}
	now, err := names(fd, most)
	if err != nil {
		return err
	}
	for _, name := range old {
		if _, there := slices.BinarySearch(now, name); there {
			continue
		}
		var st unix.Stat_t
		if path, err := d.r.stat(below, name, &st); err == nil && path >= 0 {
			unix.Close(path)
		}
		if err := d.tell(Change{Path: d.a.inside(join(e.path, name)), Change: Deleted, Type: typeName(st.Mode)}); err != nil {
			return err
		}
	}
	return nil
}

// opaqueXattr marks a directory of an upper layer that hides what is below it
// (overlay mounted with userxattr).
const opaqueXattr = "user.overlay.opaque"

func (d *differ) leave(*entry) error {
	if fd := d.base(); fd >= 0 {
		unix.Close(fd)
	}
	d.bases = d.bases[:len(d.bases)-1]
	return nil
}

func (d *differ) other(e *entry) error {
	var st unix.Stat_t
	was, same := d.was(e, &st)
	switch {
	case same:
		return nil
	case isWhiteout(&e.st):
		if !was {
			return nil // of something that the job had made itself
		}
		return d.tell(Change{Path: d.a.inside(e.path), Change: Deleted, Type: typeName(st.Mode)})
	}
	c := d.change(e, was)
	if e.kind() == unix.S_IFLNK {
		to, err := d.r.readlink(e.dir, e.name)
		if c.Link = to; err != nil {
			c.Error = err.Error()
		}
		if base := d.base(); was && base >= 0 {
			if old, err := d.r.readlink(base, e.name); err == nil && old == to {
				return nil
			}
		}
	}
	return d.tell(c)
}

func (d *differ) skip(e *entry, why error) {
	delete(d.a.before, e.path)
	c := d.change(e, false)
	c.Error = why.Error()
	_ = d.tell(c)
}

func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }
