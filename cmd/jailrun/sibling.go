package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// runSibling becomes the program jailrun-NAME, or says why not. Nothing but
// the error code comes back. A program of several commands knows by its
// argv[0] which is meant.
func runSibling(say *console, name string, args []string) int {
	own := name
	if c := findCommand(name); c.program != "" {
		own = c.program
	}
	name, own = "jailrun-"+name, "jailrun-"+own
	program, err := findSibling(own)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(say, own+" is not installed", "it belongs beside jailrun or into ../libexec/jailrun")
	case err != nil:
		sayError(say, err)
		return exitFailed
	}
	// By descriptor: what was checked is what runs. The link in /proc does
	// what execveat(2) with AT_EMPTY_PATH would.
	path := "/proc/self/fd/" + strconv.Itoa(int(program.Fd()))
	err = unix.Exec(path, append([]string{name}, args...), os.Environ())
	sayError(say, &os.PathError{Op: "execute", Path: program.Name(), Err: err})
	return exitFailed
}

// findSibling opens the program of that name beside our own, or in
// ../libexec/jailrun. PATH and the current directory never count: they belong
// to whoever calls us, and to the jobs that may write there.
func findSibling(name string) (*os.File, error) {
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
		return &usageError{text: quote(path) + " is not run: it is no regular file", hint: "install jailrun's programs as files, not as links"}
	case st.Uid != 0 && st.Uid != owner:
		return &usageError{
			text: quote(path) + " is not run: it belongs to uid " + strconv.Itoa(int(st.Uid)),
			hint: "it has to belong to root or to the owner of jailrun, uid " + strconv.Itoa(int(owner)),
		}
	case st.Mode&0o022 != 0:
		return &usageError{
			text: quote(path) + " is not run: others may write it (mode " + strconv.FormatUint(uint64(st.Mode&0o7777), 8) + ")",
			hint: "chmod go-w " + path,
		}
	}
	return nil
}
