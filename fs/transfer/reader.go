package transfer

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Reader reads the files of a sandbox whose processes are all dead. It is for
// one goroutine.
type Reader struct {
	// Root is the sandbox's root directory.
	Root *os.File
	// Inside returns a desk with the rights of the job's user namespace. It is
	// called at most once, when the runner's own rights do not suffice; nil if
	// there is none.
	Inside func() (*prog.Desk, error)

	desk *prog.Desk
	err  error // of Inside
}

// Bounds of what is read from a sandbox.
type Bounds struct {
	Bytes   int64 // by apparent size, all files together
	Entries int   // files and directories
}

// maxDepth bounds how deep a tree is read: each level holds a descriptor.
const maxDepth = 256

// Errors of a tree that is more than is read.
var (
	ErrTooDeep  = errors.New("directories are nested too deep")
	ErrTooMany  = errors.New("too many files")
	ErrTooLarge = errors.New("too many bytes")
)

const (
	resolveAt    = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
	resolveBelow = resolveAt | unix.RESOLVE_NO_XDEV
	// openFlags: a FIFO in the place of a file must not make us wait for its
	// other end, nor a terminal become ours.
	openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
)

// open opens name below dir, with the runner's rights or, if they do not
// suffice, with those of the job's user namespace.
func (r *Reader) open(dir int, name string, flags int, resolve uint64) (int, error) {
	if flags |= openFlags; flags&unix.O_PATH != 0 {
		flags &^= unix.O_NONBLOCK | unix.O_NOCTTY // openat2 takes neither with O_PATH
	}
	how := unix.OpenHow{Flags: uint64(flags), Resolve: resolve}
	fd, err := unix.Openat2(dir, name, &how)
	if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		fd, err = unix.Openat2(dir, name, &how)
	}
	if err == nil || !denied(err) {
		return fd, err
	}
	d := r.inside()
	if d == nil {
		return -1, errors.Join(err, r.err)
	}
	return d.Call(&prog.Request{
		Name: "openat2", Nr: unix.SYS_OPENAT2, Fd: dir, Gives: true,
		Args: []prog.Word{prog.Text(name), prog.Bytes(openHow(flags, resolve)), prog.Num(openHowSize)},
	})
}

func denied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }

// inside returns the desk, or nil.
func (r *Reader) inside() *prog.Desk {
	if r.desk == nil && r.err == nil && r.Inside != nil {
		r.desk, r.err = r.Inside()
	}
	return r.desk
}

// stat looks at name in dir without following it. fd is -1, or an O_PATH
// descriptor of it where only that could be had, which the caller closes.
func (r *Reader) stat(dir int, name string, st *unix.Stat_t) (fd int, err error) {
	err = unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil || !denied(err) {
		return -1, err
	}
	if fd, err = r.open(dir, name, unix.O_PATH, resolveBelow); err != nil {
		return -1, err
	}
	return fd, r.fstat(fd, st)
}

// fstat is fstat(2). A FUSE mount of the job's user namespace tells a process
// outside of it nothing: then the ids are those inside, and the number of links
// is 0.
func (r *Reader) fstat(fd int, st *unix.Stat_t) error {
	err := unix.Fstat(fd, st)
	if err == nil || !denied(err) {
		return err
	}
	d := r.inside()
	if d == nil {
		return errors.Join(err, r.err)
	}
	var b [256]byte // struct statx
	if _, err := d.Call(&prog.Request{
		Name: "statx", Nr: unix.SYS_STATX, Fd: fd,
		Args: []prog.Word{prog.Text(""), prog.Num(unix.AT_EMPTY_PATH), prog.Num(unix.STATX_BASIC_STATS), prog.Out(b[:])},
	}); err != nil {
		return err
	}
	ne := binary.NativeEndian
	at := func(i int) unix.Timespec {
		return unix.Timespec{Sec: int64(ne.Uint64(b[i:])), Nsec: int64(ne.Uint32(b[i+8:]))}
	}
	*st = unix.Stat_t{
		Uid: ne.Uint32(b[20:]), Gid: ne.Uint32(b[24:]), Mode: uint32(ne.Uint16(b[28:])),
		Ino: ne.Uint64(b[32:]), Size: int64(ne.Uint64(b[40:])), Blocks: int64(ne.Uint64(b[48:])),
		Atim: at(64), Ctim: at(96), Mtim: at(112),
		Rdev: unix.Mkdev(ne.Uint32(b[128:]), ne.Uint32(b[132:])), Dev: unix.Mkdev(ne.Uint32(b[136:]), ne.Uint32(b[140:])),
	}
	return nil
}

// readlink returns the target of the link name in dir.
func (r *Reader) readlink(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil && denied(err) {
		var fd int
		if fd, err = r.open(dir, name, unix.O_PATH, resolveBelow); err != nil {
			return "", err
		}
		n, err = unix.Readlinkat(fd, "", buf)
		unix.Close(fd)
	}
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// xattr returns an attribute of an open file; nil if it has none of that name.
func (r *Reader) xattr(fd int, name string) ([]byte, error) {
	buf := make([]byte, 4096)
	n, err := unix.Fgetxattr(fd, name, buf)
	if err != nil && denied(err) {
		if d := r.inside(); d != nil {
			n, err = d.Call(&prog.Request{
				Name: "fgetxattr", Nr: unix.SYS_FGETXATTR, Fd: fd,
				Args: []prog.Word{prog.Text(name), prog.Out(buf), prog.Num(len(buf))},
			})
		}
	}
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return buf[:n], nil
}

// names lists a directory that is open for reading, sorted, at most most.
func names(dir, most int) ([]string, error) {
	var list []string
	if _, err := unix.Seek(dir, 0, 0); err != nil {
		return nil, err
	}
	for buf := make([]byte, 32<<10); ; {
		n, err := unix.ReadDirent(dir, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			break
		}
		if _, _, list = unix.ParseDirent(buf[:n], -1, list); len(list) > most {
			return nil, ErrTooMany
		}
	}
	slices.Sort(list)
	return list, nil
}

// Open opens a place in the sandbox: absolute, clean, without any symbolic link
// on the way. The caller closes it. What is no directory or regular file is an
// error.
func (r *Reader) Open(place string, st *unix.Stat_t) (int, error) {
	name := strings.TrimPrefix(place, "/")
	if name == "" {
		name = "."
	}
	path, err := r.open(int(r.Root.Fd()), name, unix.O_PATH, resolveAt)
	if err == nil {
		err = r.fstat(path, st)
		defer unix.Close(path)
	}
	if errors.Is(err, unix.ELOOP) {
		err = errors.New("there is a symbolic link on the way, which is not followed")
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: place, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return -1, &os.PathError{Op: "open", Path: place, Err: errors.New("is " + kindName(kind) + ", not a regular file or directory")}
	}
	fd, err := r.open(int(r.Root.Fd()), name, unix.O_RDONLY, resolveAt)
	if err == nil {
		err = r.same(fd, st)
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: place, Err: err}
	}
	return fd, nil
}

// same makes sure that fd is what st told; else it closes it. Nobody is left
// inside who could change it, but a directory of the host's may be shown there.
func (r *Reader) same(fd int, st *unix.Stat_t) error {
	var now unix.Stat_t
	err := r.fstat(fd, &now)
	if err == nil && (now.Ino != st.Ino || now.Dev != st.Dev || now.Mode&unix.S_IFMT != st.Mode&unix.S_IFMT) {
		err = errors.New("was replaced while it was read")
	}
	if err != nil {
		unix.Close(fd)
	}
	*st = now
	return err
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}
