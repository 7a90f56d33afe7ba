package transfer

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Writer puts files into a sandbox before its job runs. The places inside are
// resolved by a process in there whose root is the sandbox's.
type Writer struct {
	Desk  *prog.Desk
	Owner [2]uint32 // uid and gid inside, of what is made
}

// CopyIn copies a file, or a directory with all below it, to target, which is
// absolute. Directories above target are made; a directory that exists is added
// to, a file of that name replaced. Symbolic links are copied as such. What is
// neither file, directory nor link is an error, and so is more than b.
func (w *Writer) CopyIn(ctx context.Context, source *os.File, target string, b Bounds) error {
	var st unix.Stat_t
	fd, err := unix.FcntlInt(source.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: source.Name(), Err: err}
	}
	for i := 1; i < len(target); i++ {
		if target[i] == '/' {
			if err := w.mkdir(target[:i], 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
				return &os.PathError{Op: "mkdir", Path: target[:i], Err: err}
			}
		}
	}
	v := filler{w: w, ctx: ctx, target: target, left: b.Bytes, buf: make([]byte, 128<<10)}
	defer v.close()
	if err := (&walk{r: &Reader{}, v: &v, left: b.Entries, crosses: true}).tree(fd, &st); err != nil {
		return err
	}
	return v.err
}

// A filler makes inside what it visits outside. The process inside has the
// directory that is being filled as its current one.
type filler struct {
	w      *Writer
	ctx    context.Context
	target string
	dirs   []filled // directories inside that are being filled, outermost first
	left   int64
	buf    []byte
	keeps  bool  // what is there stays, and what cannot be copied is left out
	err    error // of the first entry that could not be read
}

// A filled is a directory inside; made if it was not there.
type filled struct {
	fd   int
	made bool
}

func (f *filler) close() {
	for _, d := range f.dirs {
		unix.Close(d.fd)
	}
}

// name is where e is made, from the current directory inside.
func (f *filler) name(e *entry) string {
	if e.dir < 0 {
		return f.target
	}
	return e.name
}

func (f *filler) failed(op string, e *entry, err error) error {
	return &os.PathError{Op: op, Path: strings.TrimSuffix(f.target+"/"+e.path, "/"), Err: err}
}

func (f *filler) file(e *entry, in int) error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	if e.st.Size > f.left {
		return f.failed("copy in", e, ErrTooLarge)
	}
	f.left -= e.st.Size
	out, err := f.create(f.name(e), e.st.Mode&0o777)
	if f.keeps && errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return f.failed("create", e, err)
	}
	defer unix.Close(out)
	c := copier{buf: f.buf}
	if err = c.content(in, out, e); err == nil {
		err = f.w.finish(out, e)
	}
	if err != nil {
		return f.failed("copy in", e, err)
	}
	return nil
}

func (f *filler) enter(e *entry, _ int) (bool, error) {
	name := f.name(e)
	err := f.w.mkdir(name, e.st.Mode&0o777)
	made := err == nil
	if errors.Is(err, unix.EEXIST) {
		err = nil
	}
	if err != nil {
		return false, f.failed("mkdir", e, err)
	}
	fd, err := f.w.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if f.keeps && !made && (errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)) {
		return false, nil
	}
	if err != nil {
		return false, f.failed("open", e, err)
	}
	f.dirs = append(f.dirs, filled{fd, made})
	if err := f.w.enter(fd); err != nil {
		return false, f.failed("copy in", e, err)
	}
	return true, nil
}

func (f *filler) leave(e *entry) error {
	d := f.dirs[len(f.dirs)-1]
	f.dirs = f.dirs[:len(f.dirs)-1]
	defer unix.Close(d.fd)
	var err error
	if d.made { // a directory that was there stays as it is
		err = f.w.finish(d.fd, e)
	}
	switch {
	case err != nil:
	case len(f.dirs) == 0:
		err = f.w.call("chdir", unix.SYS_CHDIR, prog.Text("/"))
	default:
		err = f.w.enter(f.dirs[len(f.dirs)-1].fd)
	}
	if err != nil {
		return f.failed("copy in", e, err)
	}
	return nil
}

func (f *filler) other(e *entry) error {
	if e.kind() != unix.S_IFLNK {
		if f.keeps {
			return nil
		}
		return f.failed("copy in", e, errors.New("is "+kindName(e.kind())+", which cannot be copied"))
	}
	to, err := (&Reader{}).readlink(e.dir, e.name)
	if err != nil {
		return f.failed("readlink", e, err)
	}
	link := func() error {
		return f.w.call("symlinkat", unix.SYS_SYMLINKAT, prog.Text(to), prog.Num(unix.AT_FDCWD), prog.Text(e.name))
	}
	if f.keeps {
		if err = link(); errors.Is(err, unix.EEXIST) {
			return nil
		}
	} else {
		err = f.w.replace(e.name, link)
	}
	if err == nil {
		err = f.w.own(-1, e.name)
	}
	if err != nil {
		return f.failed("symlink", e, err)
	}
	return nil
}

func (f *filler) skip(e *entry, why error) {
	if f.err == nil {
		f.err = f.failed("copy in", e, why)
	}
}

func (w *Writer) call(name string, nr uintptr, args ...prog.Word) error {
	_, err := w.Desk.Call(&prog.Request{Name: name, Nr: nr, Fd: -1, Args: args})
	return err
}

// enter makes a directory inside the current one of the process there.
func (w *Writer) enter(fd int) error {
	_, err := w.Desk.Call(&prog.Request{Name: "fchdir", Nr: unix.SYS_FCHDIR, Fd: fd})
	return err
}

func (w *Writer) mkdir(name string, mode uint32) error {
	return w.call("mkdirat", unix.SYS_MKDIRAT, prog.Num(unix.AT_FDCWD), prog.Text(name), prog.Num(int(mode)))
}

// open opens name without following it.
func (w *Writer) open(name string, flags int, mode uint32) (int, error) {
	return w.Desk.Call(&prog.Request{
		Name: "openat", Nr: unix.SYS_OPENAT, Fd: -1, Gives: true,
		Args: []prog.Word{prog.Num(unix.AT_FDCWD), prog.Text(name), prog.Num(flags | openFlags), prog.Num(int(mode))},
	})
}

// create makes a file, which must not be there if the filler keeps such.
func (f *filler) create(name string, mode uint32) (fd int, err error) {
	open := func() error {
		fd, err = f.w.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
		return err
	}
	if f.keeps {
		err = open()
	} else {
		err = f.w.replace(name, open)
	}
	return fd, err
}

// replace makes something under a name, where need be in place of a file.
func (w *Writer) replace(name string, make func() error) error {
	err := make()
	if errors.Is(err, unix.EEXIST) {
		if err = w.call("unlinkat", unix.SYS_UNLINKAT, prog.Num(unix.AT_FDCWD), prog.Text(name), prog.Num(0)); err == nil {
			err = make()
		}
	}
	return err
}

// finish gives what has been made its owner and its time.
func (w *Writer) finish(fd int, e *entry) error {
	if err := w.own(fd, ""); err != nil {
		return err
	}
	times := []unix.Timespec{e.st.Mtim, e.st.Mtim}
	err := unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH)
	if err == nil || !denied(err) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	_, err = w.Desk.Call(&prog.Request{
		Name: "utimensat", Nr: unix.SYS_UTIMENSAT, Fd: fd,
		Args: []prog.Word{prog.Num(0), prog.Bytes(timespecs(times)), prog.Num(0)},
	})
	return err
}

// own gives a name in the current directory, or what fd is, to the job. Init
// has made it as root inside.
func (w *Writer) own(fd int, name string) error {
	if w.Owner == [2]uint32{} {
		return nil
	}
	u, g := prog.Num(int(w.Owner[0])), prog.Num(int(w.Owner[1]))
	if fd < 0 {
		return w.call("fchownat", unix.SYS_FCHOWNAT, prog.Num(unix.AT_FDCWD), prog.Text(name), u, g, prog.Num(unix.AT_SYMLINK_NOFOLLOW))
	}
	_, err := w.Desk.Call(&prog.Request{Name: "fchown", Nr: unix.SYS_FCHOWN, Fd: fd, Args: []prog.Word{u, g}})
	return err
}
