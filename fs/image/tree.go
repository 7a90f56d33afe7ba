package image

import (
	"errors"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A tree is a layer, or with flat an image, while it is unpacked. All of it is
// made by descriptor and never through a link: an entry cannot reach anything
// but the tree. Directories are the owner's alone until finish gives each its
// mode, so that an order of entries that takes write permission away too early
// does no harm.
type tree struct {
	at, from walker // where entries are made; where hard links point
	dirs     map[string]*dir
	// whiteouts are those made so far, by name.
	whiteouts map[string]bool
	// flat applies whiteouts instead of keeping them. made then holds the names
	// of the layer that is being applied, with all above them: a whiteout and
	// an opaque directory hide nothing of their own layer.
	flat   bool
	made   map[string]bool
	hidden int // how many whiteouts and marks of opaque directories were applied
}

type dir struct {
	mode   uint32
	mtime  time.Time
	opaque bool
}

// The form of overlay(5) that needs no privilege: an opaque directory is marked
// by an attribute, a whiteout is the character device 0/0, which anybody may
// make since Linux 5.8.
const (
	opaqueXattr  = "user.overlay.opaque"
	defaultMode  = 0o755
	whiteoutMode = unix.S_IFCHR
)

// newTree makes entries below the directory root, which the caller keeps open.
func newTree(root int, flat bool) *tree {
	return &tree{
		at: newWalker(root), from: newWalker(root), flat: flat,
		dirs: map[string]*dir{".": {mode: defaultMode}}, whiteouts: map[string]bool{}, made: map[string]bool{},
	}
}

func (t *tree) close() {
	t.at.up(0)
	t.from.up(0)
}

// nextLayer begins another layer of a flat tree.
func (t *tree) nextLayer() { t.made = map[string]bool{} }

// note remembers that the layer has this name.
func (t *tree) note(name string) {
	if !t.flat {
		return
	}
	for !t.made[name] && name != "." {
		t.made[name] = true
		name, _ = splitName(name)
	}
}

// parent goes to the directory of an entry and makes what of it is missing: a
// tar need not have entries for its directories.
func (t *tree) parent(dirName string) (int, error) {
	return t.at.to(dirName, func(path, name string, err error) error {
		if errors.Is(err, unix.ENOENT) {
			return t.newDir(t.at.fd(), path, name, false)
		}
		return t.through(path, name, err)
	})
}

// through is asked when a component of a name is no directory. What a lower
// layer has there, or a whiteout, gives way; a link of the same layer does not:
// who writes through it means to write elsewhere.
func (t *tree) through(path, name string, err error) error {
	if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		return err
	}
	wasWhiteout := t.whiteouts[path]
	if !wasWhiteout && (!t.flat || t.made[path]) {
		return refuse("%q, which it lies in, is no directory but a file or link of this layer", path)
	}
	if err := t.clear(t.at.fd(), path, name); err != nil {
		return err
	}
	return t.newDir(t.at.fd(), path, name, wasWhiteout)
}

func (t *tree) newDir(parent int, path, name string, opaque bool) error {
	if err := unix.Mkdirat(parent, name, 0o700); err != nil {
		return err
	}
	t.dirs[path] = &dir{mode: defaultMode, opaque: opaque}
	return nil
}

// mkdir makes a directory, or sets what it is to have if it is there.
func (t *tree) mkdir(name string, mode uint32, mtime time.Time) error {
	if name != "." {
		parentName, base := splitName(name)
		parent, err := t.parent(parentName)
		if err != nil {
			return err
		}
		if err := t.mkdirIn(parent, name, base); err != nil {
			return err
		}
	}
	t.note(name)
	d := t.dirs[name]
	if d == nil {
		return unix.ENOTDIR
	}
	d.mode, d.mtime = mode, mtime
	return nil
}

func (t *tree) mkdirIn(parent int, name, base string) error {
	if t.dirs[name] != nil {
		return nil
	}
	err := t.newDir(parent, name, base, false)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	opaque := t.whiteouts[name]
	if err := t.clear(parent, name, base); err != nil {
		return err
	}
	return t.newDir(parent, name, base, opaque)
}

// create makes a regular file; the caller writes and closes it.
func (t *tree) create(name string) (int, error) {
	var fd int
	err := t.place(name, func(parent int, base string) (err error) {
		fd, err = unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, err
}

// place makes something that is no directory and may take the place of what an
// earlier entry, or a lower layer, has there.
func (t *tree) place(name string, make func(parent int, base string) error) error {
	if name == "." {
		return refuse("it is the layer itself and no directory")
	}
	parentName, base := splitName(name)
	parent, err := t.parent(parentName)
	if err != nil {
		return err
	}
	err = make(parent, base)
	if errors.Is(err, unix.EEXIST) {
		if err = t.clear(parent, name, base); err == nil {
			err = make(parent, base)
		}
	}
	if err == nil {
		t.note(name)
	}
	return err
}

func (t *tree) symlink(name, target string, mtime time.Time) error {
	return t.place(name, func(parent int, base string) error {
		if err := unix.Symlinkat(target, parent, base); err != nil {
			return err
		}
		return setTimes(parent, base, mtime)
	})
}

func (t *tree) fifo(name string, mode uint32, mtime time.Time) error {
	return t.place(name, func(parent int, base string) error {
		if err := unix.Mknodat(parent, base, unix.S_IFIFO|0o600, 0); err != nil {
			return err
		}
		if err := unix.Fchmodat(parent, base, mode, 0); err != nil {
			return err
		}
		return setTimes(parent, base, mtime)
	})
}

// link makes a hard link to an earlier entry of the layer.
func (t *tree) link(name, target string) error {
	if name == target || strings.HasPrefix(target, name+"/") {
		return refuse("is a hard link to itself")
	}
	dirName, base := splitName(target)
	from, err := t.from.to(dirName, func(path, _ string, err error) error {
		return refuse("is a hard link to %q: %q: %v", target, path, err)
	})
	if err != nil {
		return err
	}
	var st unix.Stat_t
	err = unix.Fstatat(from, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch kind := st.Mode & unix.S_IFMT; {
	case errors.Is(err, unix.ENOENT), t.whiteouts[target], err == nil && t.flat && !t.made[target]:
		return refuse("is a hard link to %q, which is no earlier entry of this layer", target)
	case err != nil:
		return err
	case kind != unix.S_IFREG && kind != unix.S_IFLNK && kind != unix.S_IFIFO:
		return refuse("is a hard link to %q, which is no file", target)
	}
	return t.place(name, func(parent int, newBase string) error {
		return unix.Linkat(from, base, parent, newBase, 0)
	})
}

// clear takes away what is in the place of a new entry. A directory of the same
// layer must be empty.
func (t *tree) clear(parent int, name, base string) error {
	err := unix.Unlinkat(parent, base, 0)
	if err == nil {
		delete(t.whiteouts, name)
		return nil
	}
	if !errors.Is(err, unix.EISDIR) {
		return err
	}
	if t.flat && !t.made[name] {
		return t.removeBelow(parent, name, base)
	}
	if err = unix.Unlinkat(parent, base, unix.AT_REMOVEDIR); errors.Is(err, unix.ENOTEMPTY) {
		return refuse("it would take the place of a directory of this layer that is not empty")
	}
	t.forget(name)
	return err
}

// forget drops what is known of a directory that is being removed, and the
// descriptors that may be in it.
func (t *tree) forget(name string) {
	for d := range t.dirs {
		if d == name || strings.HasPrefix(d, name+"/") {
			delete(t.dirs, d)
		}
	}
	for _, w := range [...]*walker{&t.at, &t.from} {
		if w.where == name || strings.HasPrefix(w.where, name+"/") {
			w.up(strings.Count(name, "/"))
		}
	}
}
