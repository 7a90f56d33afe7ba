package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
)

// A Store is the writing side of [jfs.Store]. Any number of processes and
// goroutines may use one at the same time: an import holds the store's lock
// shared, what removes holds it alone, and who unpacks a layer holds that
// layer's directory in tmp.
type Store struct {
	jfs.Store
	flat  bool // layers cannot be kept apart here
	limit Limits
}

// Open opens the store below a state directory (see [jfs.StateDir]) and makes
// what of it is missing, mode 0700.
func Open(state string, limit Limits) (*Store, error) {
	if state == "" {
		return nil, errors.New("there is no state directory: HOME and XDG_STATE_HOME are not set")
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	dir := filepath.Join(state, "images")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	s, err := jfs.OpenStore(state, os.Geteuid())
	if err != nil {
		return nil, err
	}
	for _, d := range [...]string{"names", "sources", "images", "layers", "meta", "tmp"} {
		if err := os.Mkdir(s.Dir+"/"+d, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	st := &Store{Store: s, limit: limit}
	st.flat, err = st.cannotLayer()
	return st, err
}

// cannotLayer tries what layers of an overlay need of the file system: marking a
// directory as opaque, which a tmpfs before Linux 6.6 does not know, and making a
// whiteout, which an overlay refuses.
func (s *Store) cannotLayer() (bool, error) {
	work, err := s.newWorkDir()
	if errors.Is(err, unix.EROFS) {
		return false, nil // nothing will be unpacked; what is there can be listed
	}
	if err != nil {
		return false, err
	}
	fd := int(work.f.Fd())
	err = unix.Fsetxattr(fd, opaqueXattr, []byte("y"), 0)
	if err == nil {
		err = unix.Mknodat(fd, "whiteout", whiteoutMode, 0)
	}
	if e := s.removeWork(work); e != nil {
		return false, e
	}
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES): // the last is Landlock's
		return true, nil
	}
	return false, &os.PathError{Op: "try layers in", Path: s.Dir, Err: err}
}

// A lock is a locked file or directory.
type lock struct{ f *os.File }

func (l lock) release() { l.f.Close() }

// lockFile locks a file, which it makes if need be, or a directory.
func lockFile(path string, flags, how int) (lock, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return lock{}, err
	}
	if err := flock(f, how); err != nil {
		f.Close()
		return lock{}, err
	}
	return lock{f}, nil
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
			}
			return nil
		}
	}
}

// shared is what an import holds: nothing is removed meanwhile.
func (s *Store) shared() (lock, error) {
	return lockFile(s.Dir+"/lock", os.O_RDWR|os.O_CREATE, unix.LOCK_SH)
}

// alone is what holds while things are removed. waiting is told if an import has
// to end first.
func (s *Store) alone(waiting func()) (lock, error) {
	l, err := lockFile(s.Dir+"/lock", os.O_RDWR|os.O_CREATE, unix.LOCK_EX|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return l, err
	}
	if waiting != nil {
		waiting()
	}
	return lockFile(s.Dir+"/lock", os.O_RDWR|os.O_CREATE, unix.LOCK_EX)
}

// workDir makes the directory tmp/name, or takes over that of an import that
// died, and locks it. Who waits for another import of the same layer wakes when
// that one has ended, one way or the other.
func (s *Store) workDir(name string) (lock, error) {
	path := s.Dir + "/tmp/" + name
	for {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return lock{}, err
		}
		l, err := lockFile(path, os.O_RDONLY|unix.O_DIRECTORY, unix.LOCK_EX)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed by the other
		}
		if err != nil {
			return lock{}, err
		}
		if same, err := isAt(l.f, path); err != nil || same {
			if err == nil {
				err = removeIn(int(l.f.Fd()))
			}
			if err != nil {
				l.release()
			}
			return l, err
		}
		l.release()
	}
}

// newWorkDir makes and locks one that nobody else asks for.
func (s *Store) newWorkDir() (lock, error) {
	dir, err := os.MkdirTemp(s.Dir+"/tmp", "new")
	if err != nil {
		return lock{}, err
	}
	return s.workDir(filepath.Base(dir)) // a sweep may have come between
}

// isAt tells whether an open directory still has that name.
func isAt(f *os.File, path string) (bool, error) {
	own, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(own, there), err
}

// removeWork removes a work directory that l holds.
func (s *Store) removeWork(l lock) error {
	defer l.release()
	if err := removeIn(int(l.f.Fd())); err != nil {
		return err
	}
	if err := unix.Rmdir(l.f.Name()); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: l.f.Name(), Err: err}
	}
	return nil
}

// sweep removes what imports that died left in tmp.
func (s *Store) sweep() error {
	list, err := os.ReadDir(s.Dir + "/tmp")
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		path := s.Dir + "/tmp/" + e.Name()
		if !e.IsDir() {
			continue // the temporary name of a small file; gc removes it
		}
		l, err := lockFile(path, os.O_RDONLY|unix.O_DIRECTORY, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		same := false
		if err == nil {
			same, err = isAt(l.f, path)
		}
		switch {
		case same:
			err = s.removeWork(l)
		case l.f != nil:
			l.release() // another's by now
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeFile replaces a small file of the store at once. Unless durable a power
// cut may leave it empty, which is as good as absent: the next import, which
// finds all layers, writes it again.
func (s *Store) writeFile(name string, content []byte, durable bool) error {
	f, err := os.CreateTemp(s.Dir+"/tmp", "file")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && durable {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), s.Dir+"/"+name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if !durable {
		return nil
	}
	return syncDir(filepath.Dir(s.Dir + "/" + name))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// free returns what the file system has left, less a reserve for others.
func (s *Store) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.Dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: s.Dir, Err: err}
	}
	const reserve = 256 << 20
	return int64(st.Bavail)*st.Bsize - reserve, nil
}

// budget is that of one import.
func (s *Store) budget() (*budget, error) {
	b := newBudget(s.limit)
	free, err := s.free()
	if err != nil {
		return nil, err
	}
	if free <= 0 {
		return nil, fmt.Errorf("%s: %w: less than 256 MiB are free there", s.Dir, unix.ENOSPC)
	}
	if free < b.bytes {
		b.limits.Bytes, b.bytes, b.tight = free, free, true
	}
	return b, nil
}

// hexOf is the part of a digest that names files.
func hexOf(digest string) string { return digest[len("sha256:"):] }

func quoted(s string) string { return strconv.Quote(s) }
