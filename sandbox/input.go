package sandbox

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// An input passes the runner's input to the job.
type input struct {
	from    io.Reader
	fd      int // write end
	file    int // what is waited for: the file that from is, under a number of our own; else -1
	quit    int // eventfd that ends the wait
	started bool
	stopped bool
	failed  error // why it was not read to its end; read after ended
	ended   chan struct{}
}

func newInput(from io.Reader, fd int) *input {
	return &input{from: from, fd: fd, file: -1, quit: -1, ended: make(chan struct{})}
}

// wantsStdin says whether the job gets an input pipe. The null device needs
// none: the job has its own.
func (c *Cmd) wantsStdin() bool {
	f, ok := c.Stdin.(*os.File)
	if !ok {
		return c.Stdin != nil
	}
	if f == nil {
		return false
	}
	null := false
	_ = withFd(f, func(fd int) error {
		var st unix.Stat_t
		null = unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
		return nil
	})
	return !null
}

// withFd calls do with the descriptor of a file of the caller's. File.Fd would
// make the file a blocking one, and a Read of it no longer ends with Close.
func withFd(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if conn.Control(func(fd uintptr) { done = do(int(fd)) }) != nil {
		return os.ErrClosed // the one way to fail, which package os does not translate here
	}
	return done
}

// start begins to pass on. It is called once, when the job runs. Only a wait for
// a file can be ended from outside.
func (in *input) start() error {
	if file, isFile := in.from.(*os.File); isFile {
		if err := in.watch(file); err != nil && !errors.Is(err, os.ErrClosed) { // whose Read is its end
			return err
		}
	}
	in.started = true
	go in.pump()
	return nil
}

// watch prepares to wait for a file. It is waited for under a number of our
// own, so that the caller's Close does not wait for us.
func (in *input) watch(file *os.File) error {
	own := -1
	err := withFd(file, func(fd int) (err error) {
		own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		return os.NewSyscallError("fcntl", err)
	})
	if err != nil {
		return err
	}
	quit, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(own)
		return os.NewSyscallError("eventfd", err)
	}
	in.file, in.quit = own, raise(quit)
	return nil
}

// pump ends with the input, with the job's last reader, or when stop is called
// while it waits for a file. A reader that is no file may keep it longer.
func (in *input) pump() {
	defer close(in.ended)
	defer unix.Close(in.fd)
	if in.file >= 0 {
		defer unix.Close(in.file)
	}
	buf := make([]byte, 64<<10)
	for {
		if in.file >= 0 && !in.wait() {
			return
		}
		n, err := in.from.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			m, werr := unix.Write(in.fd, b)
			if errors.Is(werr, unix.EINTR) {
				continue
			}
			if werr != nil {
				return // EPIPE: nobody reads any more
			}
			b = b[m:]
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
				in.failed = err
			}
			return
		}
	}
}

// wait returns false when there is nothing to wait for any more: the job's
// readers are gone, or the run is over.
func (in *input) wait() bool {
	fds := []unix.PollFd{
		{Fd: int32(in.file), Events: unix.POLLIN},
		{Fd: int32(in.quit), Events: unix.POLLIN},
		{Fd: int32(in.fd)}, // POLLERR when the read end is closed
	}
	for {
		if err := poll(fds, -1); err != nil || fds[1].Revents != 0 || fds[2].Revents&unix.POLLERR != 0 {
			return false
		}
		if fds[0].Revents != 0 {
			return true
		}
	}
}

// stop ends the passing on; a second call does nothing. It waits for the
// goroutine only if that cannot hang in a reader of the caller's.
func (in *input) stop() error {
	if in.stopped {
		return nil
	}
	in.stopped = true
	if !in.started {
		return unix.Close(in.fd)
	}
	if in.quit < 0 {
		return nil
	}
	err := ring(in.quit)
	<-in.ended
	return errors.Join(err, unix.Close(in.quit))
}
