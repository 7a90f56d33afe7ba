// Package outfile writes what becomes of a job into files and directories of
// the caller's. Each appears whole, under its name, when it is done, and a job
// that may write to the directory cannot lead us elsewhere.
package outfile

import (
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A File is a file of the caller's that we write: it appears whole, under
// its name, when it is done. Its directory is held by descriptor from before
// the job starts, so that a job which may write there (--cwd rw) cannot lead
// us elsewhere by putting a symbolic link in its place.
type File struct {
	dir        *os.File // of FILE, O_PATH
	path, name string   // as given; within dir
	temp       string   // the name while it is written
	// F is what is written to, nil before Create. Commit and Discard close it.
	F       *os.File
	special bool // F is a device or FIFO of the caller's, written as it is
	tree    bool // may become a directory
	made    bool // temp is a directory
}

// Open opens the directory of path and removes an old file, so that nobody
// takes the result of another run for this one's. Only a regular file is
// removed; a device or FIFO is used as it is if special is true. The caller
// ends with Commit or Discard.
func Open(path string, special bool) (*File, error) {
	return open(path, &File{}, special)
}

// OpenTree is Open for what may become a file or a directory, which only the
// end of the run shows. An empty directory of that name is taken over.
func OpenTree(path string) (*File, error) {
	return open(path, &File{tree: true}, false)
}

func open(path string, o *File, special bool) (*File, error) {
	dir, name := ".", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i+1], path[i+1:]
	}
	if name == "" || name == "." || name == ".." {
		return nil, errors.New(strconv.Quote(path) + " is not the name of a file")
	}
	d, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	o.dir, o.path, o.name = d, path, name
	if err := o.clear(special); err != nil {
		d.Close()
		return nil, err
	}
	return o, nil
}

// clear removes what stands under the name.
func (o *File) clear(special bool) error {
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
		return errors.New(strconv.Quote(o.path) + " is a symbolic link; name a file, or a descriptor by shell redirection")
	case kind == unix.S_IFDIR && o.tree:
		return o.isEmpty()
	case special && (kind == unix.S_IFCHR || kind == unix.S_IFIFO):
		o.special = true
		return nil
	}
	return errors.New(strconv.Quote(o.path) + " exists and is not a regular file")
}

// isEmpty refuses a directory with something in it.
func (o *File) isEmpty() error {
	fd, err := unix.Openat(int(o.dir.Fd()), o.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: o.path, Err: err}
	}
	d := os.NewFile(uintptr(fd), o.path)
	defer d.Close()
	if list, _ := d.Readdirnames(1); len(list) > 0 {
		return errors.New(strconv.Quote(o.path) + " is a directory that is not empty; name a new one")
	}
	return nil
}

// Create makes the file under a name of its own, which the job cannot have
// guessed.
func (o *File) Create() error {
	const flags = unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_NOCTTY | unix.O_CLOEXEC
	if o.special {
		return o.open(o.name, flags|unix.O_APPEND)
	}
	if err := o.nameTemp(); err != nil {
		return err
	}
	return o.open(o.temp, flags|unix.O_CREAT|unix.O_EXCL)
}

func (o *File) nameTemp() error {
	var random [8]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return os.NewSyscallError("getrandom", err)
	}
	o.temp = ".jailrun-" + hex.EncodeToString(random[:])
	return nil
}

// Mkdir makes a directory instead of a file; F is the directory.
func (o *File) Mkdir() error {
	if err := o.nameTemp(); err != nil {
		return err
	}
	if err := unix.Mkdirat(int(o.dir.Fd()), o.temp, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: o.path, Err: err}
	}
	o.made = true
	fd, err := unix.Openat(int(o.dir.Fd()), o.temp, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: o.path, Err: err}
	}
	o.F = os.NewFile(uintptr(fd), o.path)
	return nil
}

func (o *File) open(name string, flags int) error {
	fd, err := unix.Openat(int(o.dir.Fd()), name, flags, 0o666)
	if err != nil {
		return &os.PathError{Op: "create", Path: o.path, Err: err}
	}
	o.F = os.NewFile(uintptr(fd), o.path)
	return nil
}

// Commit gives the file its name once it is on the disk.
func (o *File) Commit() error {
	if o.special {
		return errors.Join(o.F.Close(), o.dir.Close())
	}
	var err error
	if !o.tree {
		err = o.F.Sync()
	}
	if err == nil {
		err = o.isOurs()
	}
	if cerr := o.F.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		if err = o.rename(); err == nil {
			return o.dir.Close()
		}
	}
	o.Discard()
	return err
}

// rename replaces whatever a job has put under the name since Open. A
// directory cannot be replaced, only exchanged; it then stays under our
// temporary name, unless it is empty.
func (o *File) rename() error {
	dir := int(o.dir.Fd())
	err := unix.Renameat(dir, o.temp, dir, o.name)
	if errors.Is(err, unix.EISDIR) && !o.tree {
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
func (o *File) isOurs() error {
	var named, open unix.Stat_t
	err := unix.Fstatat(int(o.dir.Fd()), o.temp, &named, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		err = unix.Fstat(int(o.F.Fd()), &open)
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: o.path, Err: err}
	}
	if named.Dev != open.Dev || named.Ino != open.Ino {
		return errors.New(strconv.Quote(o.path) + " was replaced while it was written")
	}
	return nil
}

// Discard leaves no file. It may follow anything.
func (o *File) Discard() {
	if o.F != nil {
		_ = o.F.Close()
	}
	if o.made {
		_ = removeTree(int(o.dir.Fd()), o.temp)
	} else if o.temp != "" {
		_ = unix.Unlinkat(int(o.dir.Fd()), o.temp, 0) // named by us alone
	}
	_ = o.dir.Close()
}

// removeTree removes what we have written, which is no deeper than we go.
func removeTree(parent int, name string) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), name)
	defer d.Close()
	for {
		list, err := d.ReadDir(256)
		for _, e := range list {
			if e.IsDir() {
				err = removeTree(fd, e.Name())
			} else {
				err = unix.Unlinkat(fd, e.Name(), 0)
			}
			if err != nil {
				return err
			}
		}
		if err != nil || len(list) == 0 {
			return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
		}
		if _, err = d.Seek(0, 0); err != nil {
			return err
		}
	}
}
