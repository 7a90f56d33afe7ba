package image

import (
	"errors"
	"os"
	"slices"
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
	flat bool
	made map[string]bool
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
	case errors.Is(err, unix.ENOENT) || t.whiteouts[target]:
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

// whiteout hides what the layers below have under a name.
func (t *tree) whiteout(name string) error {
	parentName, base := splitName(name)
	parent, err := t.parent(parentName)
	if err != nil {
		return err
	}
	if t.flat {
		switch {
		case !t.made[name]:
			return t.removeBelow(parent, name, base)
		case t.dirs[name] != nil:
			return t.purge(name)
		}
		return nil
	}
	if d := t.dirs[name]; d != nil {
		d.opaque = true // the whiteout is of the lower one, this one is new
		return nil
	}
	err = unix.Mknodat(parent, base, whiteoutMode, 0)
	if errors.Is(err, unix.EEXIST) {
		return nil // of this layer, and hides what is below without it
	}
	if err == nil {
		t.whiteouts[name] = true
	}
	return err
}

// opaque hides all that the layers below have in a directory.
func (t *tree) opaque(name string) error {
	if _, err := t.parent(name); err != nil {
		return err
	}
	t.note(name)
	if t.flat {
		return t.purge(name)
	}
	t.dirs[name].opaque = true
	return nil
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

// removeBelow removes what lower layers put under a name.
func (t *tree) removeBelow(parent int, name, base string) error {
	t.forget(name)
	return removeAt(parent, base)
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

// purge removes from a directory of a flat tree what is not of this layer.
func (t *tree) purge(name string) error {
	fd, err := t.parent(name)
	if err != nil {
		return err
	}
	names, err := listDir(fd)
	if err != nil {
		return err
	}
	for _, base := range names {
		path := base
		if name != "." {
			path = name + "/" + base
		}
		switch {
		case !t.made[path]:
			if fd, err = t.parent(name); err == nil {
				err = t.removeBelow(fd, path, base)
			}
		case t.dirs[path] != nil:
			err = t.purge(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish gives the directories their modes and times, the deepest first, and
// marks the opaque ones.
func (t *tree) finish() error {
	if err := t.dropHidden(); err != nil {
		return err
	}
	names := make([]string, 0, len(t.dirs))
	for name := range t.dirs {
		if name != "." {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		if err := t.finishDir(name); err != nil {
			return err
		}
	}
	return t.finishDir(".")
}

func (t *tree) finishDir(name string) error {
	fd, err := t.parent(name)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	d := t.dirs[name]
	if d.opaque && name != "." {
		if err := unix.Fsetxattr(fd, opaqueXattr, []byte("y"), 0); err != nil {
			return &os.PathError{Op: "mark as opaque", Path: name, Err: err}
		}
	}
	mode := d.mode
	if name == "." {
		mode |= 0o700 // or its owner could not move it into its place; a job's root has its own mode
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return &os.PathError{Op: "chmod", Path: name, Err: err}
	}
	return setFdTimes(fd, d.mtime)
}

// dropHidden removes the whiteouts in opaque directories, which have nothing to
// hide: such a directory is merged with none, and overlay would list them.
func (t *tree) dropHidden() error {
	for name := range t.whiteouts {
		for dirName, base := splitName(name); ; dirName, _ = splitName(dirName) {
			if d := t.dirs[dirName]; d != nil && d.opaque {
				parentName, _ := splitName(name)
				fd, err := t.parent(parentName)
				if err != nil {
					return err
				}
				if err := unix.Unlinkat(fd, base, 0); err != nil {
					return err
				}
				break
			}
			if dirName == "." {
				break
			}
		}
	}
	return nil
}

func setTimes(parent int, base string, mtime time.Time) error {
	return unix.UtimesNanoAt(parent, base, timespecs(mtime), unix.AT_SYMLINK_NOFOLLOW)
}

// timespecs are those of access and modification. What a timespec cannot hold
// becomes the beginning of time.
func timespecs(mtime time.Time) []unix.Timespec {
	ts, err := unix.TimeToTimespec(mtime)
	if err != nil || mtime.Year() < 1902 {
		ts = unix.Timespec{}
	}
	return []unix.Timespec{ts, ts}
}
