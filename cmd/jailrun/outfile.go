package main

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// An outFile is a file of the caller's that we write: it appears whole, under
// its name, when it is done. Its directory is held by descriptor from before
// the job starts, so that a job which may write there (--cwd rw) cannot lead
// us elsewhere by putting a symbolic link in its place.
type outFile struct {
	dir        *os.File // of FILE, O_PATH
	path, name string   // as given; within dir
	temp       string   // the name while it is written
	f          *os.File // nil before create
	special    bool     // f is a device or FIFO of the caller's, written as it is
}

// openOut opens the directory of path and removes an old file, so that nobody
// takes the result of another run for this one's. Only a regular file is
// removed; a device or FIFO is used as it is if special is true. The caller
// ends with commit or discard.
func openOut(path string, special bool) (*outFile, error) {
	dir, name := ".", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i+1], path[i+1:]
	}
	if name == "" || name == "." || name == ".." {
		return nil, errors.New(quote(path) + " is not the name of a file")
	}
	d, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	o := &outFile{dir: d, path: path, name: name}
	if err := o.clear(special); err != nil {
		d.Close()
		return nil, err
	}
	return o, nil
}

// clear removes what stands under the name.
func (o *outFile) clear(special bool) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(o.dir.Fd()), o.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: o.path, Err: err}
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFREG:
		if err := unix.Unlinkat(int(o.dir.Fd()), o.name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "remove", Path: o.path, Err: err}
		}
		return nil
	case kind == unix.S_IFLNK:
		// Removing it could be wrong (/dev/stdout), following it unsafe.
		return errors.New(quote(o.path) + " is a symbolic link; name a file, or a descriptor by shell redirection")
	case special && (kind == unix.S_IFCHR || kind == unix.S_IFIFO):
		o.special = true
		return nil
	}
	return errors.New(quote(o.path) + " exists and is not a regular file")
}

// create makes the file under a name of its own, which the job cannot have
// guessed.
func (o *outFile) create() error {
	const flags = unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_NOCTTY | unix.O_CLOEXEC
	if o.special {
		return o.open(o.name, flags|unix.O_APPEND)
	}
	var random [8]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return os.NewSyscallError("getrandom", err)
	}
	o.temp = ".jailrun-" + hex.EncodeToString(random[:])
	return o.open(o.temp, flags|unix.O_CREAT|unix.O_EXCL)
}

func (o *outFile) open(name string, flags int) error {
	fd, err := unix.Openat(int(o.dir.Fd()), name, flags, 0o666)
	if err != nil {
		return &os.PathError{Op: "create", Path: o.path, Err: err}
	}
	o.f = os.NewFile(uintptr(fd), o.path)
	return nil
}

// commit gives the file its name once it is on the disk.
func (o *outFile) commit() error {
	if o.special {
		return errors.Join(o.f.Close(), o.dir.Close())
	}
	err := o.f.Sync()
	if err == nil {
		err = o.isOurs()
	}
	if cerr := o.f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		if err = o.rename(); err == nil {
			return o.dir.Close()
		}
	}
	o.discard()
	return err
}

// rename replaces whatever a job has put under the name since openOut. A
// directory cannot be replaced, only exchanged; it then stays under our
// temporary name, unless it is empty.
func (o *outFile) rename() error {
	dir := int(o.dir.Fd())
	err := unix.Renameat(dir, o.temp, dir, o.name)
	if errors.Is(err, unix.EISDIR) {
		if err = unix.Renameat2(dir, o.temp, dir, o.name, unix.RENAME_EXCHANGE); err == nil {
			_ = unix.Unlinkat(dir, o.temp, unix.AT_REMOVEDIR)
		}
	}
	if err != nil {
		return &os.PathError{Op: "rename to", Path: o.path, Err: err}
	}
	return nil
}

// isOurs makes sure that the name still means our file: a job that may write
// to the directory could have put a link in its place. It cannot do so later,
// for nothing of the job is alive when we commit.
func (o *outFile) isOurs() error {
	var named, open unix.Stat_t
	err := unix.Fstatat(int(o.dir.Fd()), o.temp, &named, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		err = unix.Fstat(int(o.f.Fd()), &open)
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: o.path, Err: err}
	}
	if named.Dev != open.Dev || named.Ino != open.Ino {
		return errors.New(quote(o.path) + " was replaced while it was written")
	}
	return nil
}

// discard leaves no file. It may follow anything.
func (o *outFile) discard() {
	if o.f != nil {
		_ = o.f.Close()
	}
	if o.temp != "" {
		_ = unix.Unlinkat(int(o.dir.Fd()), o.temp, 0) // named by us alone
	}
	_ = o.dir.Close()
}
