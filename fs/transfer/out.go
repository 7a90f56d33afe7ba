package transfer

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs/outfile"
)

// A Copied is what came of one copy.
type Copied struct {
	Files   int   // regular files
	Bytes   int64 // of their content, without holes
	Skipped Skipped
}

// CopyOut copies place, a file or a directory with all below it on the same
// mount, to a file or directory of the caller's. Only regular files and
// directories are copied, without setuid, setgid and sticky bits, never so that
// their owner could not read and remove them, with their time of change and
// their holes. What else there is stands in Copied.Skipped. On an error there is
// nothing at to.
func (r *Reader) CopyOut(place string, to *outfile.File, b Bounds) (Copied, error) {
	var st unix.Stat_t
	fd, err := r.Open(place, &st)
	if err != nil {
		to.Discard()
		return Copied{}, err
	}
	c := copier{left: b.Bytes, to: to, buf: make([]byte, 128<<10)}
	w := walk{r: r, v: &c, left: b.Entries}
	if err := w.tree(fd, &st); err != nil {
		c.close()
		to.Discard()
		return Copied{}, &os.PathError{Op: "copy", Path: place, Err: err}
	}
	return c.done, to.Commit()
}

// A copier writes what it visits into a tree of the caller's.
type copier struct {
	to   *outfile.File
	dirs []int // directories being written, outermost first
	left int64 // bytes
	buf  []byte
	done Copied
}

func (c *copier) close() {
	for _, fd := range c.dirs[min(1, len(c.dirs)):] { // the first is to's
		unix.Close(fd)
	}
}

func (c *copier) take(size int64) error {
	if size > c.left {
		return ErrTooLarge
	}
	c.left -= size
	return nil
}

func (c *copier) file(e *entry, in int) error {
	if err := c.take(e.st.Size); err != nil {
		return err
	}
	if e.dir < 0 {
		if err := c.to.Create(); err != nil {
			return err
		}
		_ = c.to.F.Chmod(os.FileMode(fileMode(e)))
		if err := c.content(in, int(c.to.F.Fd()), e); err != nil {
			return err
		}
		c.done.Files++
		return nil
	}
	dir := c.dirs[len(c.dirs)-1]
	out, err := unix.Openat(dir, e.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, fileMode(e))
	if err != nil {
		return &os.PathError{Op: "create", Path: e.path, Err: err}
	}
	err = c.content(in, out, e)
	err = errors.Join(err, unix.Close(out))
	if err != nil {
		return err
	}
	c.done.Files++
	return unix.UtimesNanoAt(dir, e.name, []unix.Timespec{e.st.Mtim, e.st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func fileMode(e *entry) uint32 { return e.st.Mode&0o777 | 0o600 }

// content copies what lies between holes, no more than the size that was
// counted.
func (c *copier) content(in, out int, e *entry) error {
	size := e.st.Size
	sparse := e.st.Blocks*512 < size
	for at := int64(0); at < size; {
		end := size
		if sparse {
			var err error
			if at, end, err = data(in, at, size); err != nil {
				return &os.PathError{Op: "seek", Path: e.path, Err: err}
			}
		}
		for at < end {
			n, err := pread(in, c.buf[:min(int64(len(c.buf)), end-at)], at)
			if err != nil {
				return &os.PathError{Op: "read", Path: e.path, Err: err}
			}
			if n == 0 {
				return &os.PathError{Op: "read", Path: e.path, Err: io.ErrUnexpectedEOF}
			}
			if err := pwriteAll(out, c.buf[:n], at); err != nil {
				return &os.PathError{Op: "write", Path: e.path, Err: err}
			}
			at += int64(n)
			c.done.Bytes += int64(n)
		}
	}
	if sparse {
		return os.NewSyscallError("ftruncate", unix.Ftruncate(out, size))
	}
	return nil
}

// data finds the next piece of a file that is no hole.
func data(fd int, at, size int64) (from, to int64, err error) {
	from, err = unix.Seek(fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil // a hole to the end
	case errors.Is(err, unix.EINVAL):
		return at, size, nil // the file system knows no holes
	case err != nil:
		return 0, 0, err
	}
	if to, err = unix.Seek(fd, from, unix.SEEK_HOLE); err != nil {
		return 0, 0, err
	}
	return min(from, size), min(to, size), nil
}

func pread(fd int, b []byte, at int64) (int, error) {
	for {
		n, err := unix.Pread(fd, b, at)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func pwriteAll(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

func (c *copier) enter(e *entry, _ int) (bool, error) {
	if e.dir < 0 {
		if err := c.to.Mkdir(); err != nil {
			return false, err
		}
		c.dirs = append(c.dirs, int(c.to.F.Fd()))
		return true, nil
	}
	dir := c.dirs[len(c.dirs)-1]
	err := unix.Mkdirat(dir, e.name, e.st.Mode&0o777|0o700)
	if err != nil {
		return false, &os.PathError{Op: "mkdir", Path: e.path, Err: err}
	}
	fd, err := unix.Openat(dir, e.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: e.path, Err: err}
	}
	c.dirs = append(c.dirs, fd)
	return true, nil
}

func (c *copier) leave(e *entry) error {
	fd := c.dirs[len(c.dirs)-1]
	c.dirs = c.dirs[:len(c.dirs)-1]
	if e.dir < 0 {
		_ = c.to.F.Chmod(os.FileMode(e.st.Mode&0o777 | 0o700))
		return nil
	}
	unix.Close(fd)
	return unix.UtimesNanoAt(c.dirs[len(c.dirs)-1], e.name, []unix.Timespec{e.st.Mtim, e.st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func (c *copier) other(e *entry) error {
	c.done.Skipped.add(e.path, kindName(e.kind()))
	return nil
}

func (c *copier) skip(e *entry, why error) { c.done.Skipped.add(e.path, why.Error()) }
