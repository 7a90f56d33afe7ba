package transfer

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Layers are directories as overlay stacks them, the topmost first: a character
// device 0:0 hides a name, the attribute user.overlay.opaque what further
// layers have in a directory.
type Layers []string

// A Size is what a copy of [Layers] takes.
type Size struct {
	Entries int
	Bytes   int64 // apparent
}

// A Filling says what of some layers is copied.
type Filling struct {
	Layers Layers
	// Without are names in the layers themselves that are left out.
	Without map[string]bool
	// OwnOnly refuses what the owner of the topmost layer's directory could not
	// read for others: root copies no more than an overlay would show.
	OwnOnly bool
	Bounds  Bounds
}

// Measure adds up what Fill would copy. More than the bounds is [ErrTooMany] or
// [ErrTooLarge], and what cannot be read an error too.
func (f *Filling) Measure() (Size, error) {
	m := measurer{left: f.Bounds.Bytes}
	w := walk{r: &Reader{}, v: &m, left: f.Bounds.Entries}
	err := f.walk(&w)
	return Size{f.Bounds.Entries - w.left, f.Bounds.Bytes - m.left}, errors.Join(err, m.err)
}

// Fill copies the merged layers into target, a directory inside that is there:
// what an overlay of them would show, less the sockets, FIFOs, devices and
// attributes. A name that target has stays, and a directory there is added to.
// Nothing is resolved inside but one name at a time.
func (w *Writer) Fill(ctx context.Context, f *Filling, target string) error {
	v := filler{w: w, ctx: ctx, target: target, left: f.Bounds.Bytes, buf: make([]byte, 128<<10), keeps: true}
	defer v.close()
	if err := f.walk(&walk{r: &Reader{}, v: &v, left: f.Bounds.Entries}); err != nil {
		return err
	}
	return v.err
}

func (f *Filling) walk(w *walk) error {
	var dirs []int
	defer func() { closeAll(dirs) }()
	var top unix.Stat_t
	for i, name := range f.Layers {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			dirs = append(dirs, fd)
			if i == 0 {
				err = unix.Fstat(fd, &top)
			}
		}
		if err != nil {
			return &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
	m := merge{w: w, f: f, owner: top.Uid}
	w.left--
	return m.directory(&entry{dir: -1, st: top}, dirs, 0)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// A merge walks over several directories as if they were one.
type merge struct {
	w     *walk
	f     *Filling
	owner uint32
}

// directory visits e, which is dirs, the topmost first.
func (m *merge) directory(e *entry, dirs []int, depth int) error {
	if depth > maxDepth {
		m.w.v.skip(e, ErrTooDeep)
		return nil
	}
	ok, err := m.w.v.enter(e, dirs[0])
	if err != nil || !ok {
		return err
	}
	var seen map[string]bool // by the layers above
	for i, dir := range dirs {
		list, err := names(dir, m.w.left)
		if err != nil {
			return &os.PathError{Op: "read", Path: e.path, Err: err}
		}
		if len(dirs) > 1 && seen == nil {
			seen = map[string]bool{}
		}
		for _, name := range list {
			if seen[name] || depth == 0 && m.f.Without[name] {
				continue
			}
			if seen != nil {
				seen[name] = true
			}
			if err := m.name(e, name, dirs[i:], depth); err != nil {
				return err
			}
		}
	}
	return m.w.v.leave(e)
}

// name visits a name that the first of dirs has.
func (m *merge) name(in *entry, name string, dirs []int, depth int) error {
	r, v := m.w.r, m.w.v
	e := entry{path: join(in.path, name), name: name, dir: dirs[0]}
	if err := unix.Fstatat(dirs[0], name, &e.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if !errors.Is(err, unix.ENOENT) { // an overlay lists whiteouts of its lowest layer
			v.skip(&e, err)
		}
		return nil
	}
	kind := e.kind()
	if kind == unix.S_IFCHR && e.st.Rdev == 0 {
		return nil // a whiteout
	}
	if m.w.left--; m.w.left < 0 {
		return ErrTooMany
	}
	if kind == unix.S_IFDIR {
		below, err := m.merged(name, dirs)
		defer closeAll(below)
		if err != nil {
			v.skip(&e, err)
			return nil
		}
		return m.directory(&e, below, depth+1)
	}
	if kind != unix.S_IFREG {
		return v.other(&e)
	}
	fd, err := r.open(dirs[0], name, unix.O_RDONLY, resolveBelow)
	if err == nil {
		err = r.same(fd, &e.st)
	}
	if err != nil {
		v.skip(&e, err)
		return nil
	}
	defer unix.Close(fd)
	if m.f.OwnOnly && e.st.Uid != m.owner && e.st.Mode&0o004 == 0 {
		v.skip(&e, unix.EACCES)
		return nil
	}
	return v.file(&e, fd)
}

// merged opens the directory of a name in all layers that add to it: down to
// the first that hides what is below.
func (m *merge) merged(name string, dirs []int) (found []int, err error) {
	for i, dir := range dirs {
		var st unix.Stat_t
		err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			break
		}
		fd := -1
		if err == nil {
			fd, err = m.w.r.open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, resolveBelow)
		}
		if err != nil {
			return found, err
		}
		found = append(found, fd)
		if i == len(dirs)-1 {
			break
		}
		opaque, err := m.w.r.xattr(fd, "user.overlay.opaque")
		if err != nil {
			return found, err
		}
		if strings.HasPrefix(string(opaque), "y") {
			break
		}
	}
	return found, nil
}

// A measurer adds up what it visits.
type measurer struct {
	left int64
	err  error
}

func (m *measurer) file(e *entry, _ int) error {
	if m.left -= e.st.Size; m.left < 0 {
		return ErrTooLarge
	}
	return nil
}

func (m *measurer) enter(*entry, int) (bool, error) { return true, nil }
func (m *measurer) leave(*entry) error              { return nil }
func (m *measurer) other(*entry) error              { return nil }

func (m *measurer) skip(e *entry, why error) {
	if m.err == nil {
		m.err = &os.PathError{Op: "read", Path: e.path, Err: why}
	}
}
