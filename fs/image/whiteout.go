package image

import (
	"errors"

	"golang.org/x/sys/unix"
)

// whiteout hides what the layers below have under a name.
func (t *tree) whiteout(name string) error {
	parentName, base := splitName(name)
	parent, err := t.parent(parentName)
	if err != nil {
		return err
	}
	if t.flat {
		t.hidden++
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
		t.hidden++
		return t.purge(name)
	}
	t.dirs[name].opaque = true
	return nil
}

// removeBelow removes what lower layers put under a name.
func (t *tree) removeBelow(parent int, name, base string) error {
	t.forget(name)
	return removeAt(parent, base)
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
