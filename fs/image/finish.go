package image

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

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
				delete(t.whiteouts, name)
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
