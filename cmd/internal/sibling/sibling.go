// Package sibling finds and runs the programs jailrun-NAME that belong to
// jailrun: what is heavy, or opens connections, is a program of its own.
package sibling

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/plain"
)

// An Error says why a sibling cannot be used, or what it said itself.
type Error struct {
	text, hint string
	err        error // the cause, where there is one
}

func (e *Error) Error() string { return e.text }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

func (e *Error) Unwrap() error { return e.err }

// Path names what Find has opened, to be executed: by descriptor, so that what
// was checked is what runs. The link in /proc does what execveat(2) with
// AT_EMPTY_PATH would.
func Path(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// asThird executes what a child is given as its descriptor 3. Any other number
// package syscall may have overwritten in the child by then.
const asThird = "/proc/self/fd/3"

// Find opens the program of that name beside our own, or in
// ../libexec/jailrun. PATH and the current directory never count: they belong
// to whoever calls us, and to the jobs that may write there. The error wraps
// fs.ErrNotExist if there is none. The caller closes the file.
func Find(name string) (*os.File, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	var own unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &own); err != nil {
		return nil, &os.PathError{Op: "stat", Path: self, Err: err}
	}
	dir := filepath.Dir(self)
	f, err := openSibling(dir, name, own.Uid)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = openSibling(filepath.Join(filepath.Dir(dir), "libexec", "jailrun"), name, own.Uid)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = &Error{name + " is not installed", "it belongs beside jailrun or into ../libexec/jailrun", fs.ErrNotExist}
	}
	return f, err
}

// openSibling opens dir/name if dir and file belong to root or to owner and
// nobody else may write either: whoever could would run in our caller's name.
func openSibling(dir, name string, owner uint32) (*os.File, error) {
	d, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	path := filepath.Join(dir, name)
	fd, err := unix.Openat(int(d.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	err = checkOwner(d, dir, owner, unix.S_IFDIR)
	if err == nil {
		err = checkOwner(f, path, owner, unix.S_IFREG)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkOwner(f *os.File, path string, owner, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != kind:
		return &Error{text: plain.Quote(path, 200) + " is not run: it is no regular file", hint: "install jailrun's programs as files, not as links"}
	case st.Uid != 0 && st.Uid != owner:
		return &Error{
			text: plain.Quote(path, 200) + " is not run: it belongs to uid " + strconv.Itoa(int(st.Uid)),
			hint: "it has to belong to root or to the owner of jailrun, uid " + strconv.Itoa(int(owner)),
		}
	case st.Mode&0o022 != 0:
		return &Error{
			text: plain.Quote(path, 200) + " is not run: others may write it (mode " + strconv.FormatUint(uint64(st.Mode&0o7777), 8) + ")",
			hint: "chmod go-w " + path,
		}
	}
	return nil
}
