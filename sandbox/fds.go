package sandbox

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

func pipe() (rd, wr int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, os.NewSyscallError("pipe2", err)
	}
	return raise(p[0]), raise(p[1]), nil
}

// live counts the sandboxes of this process. Above manyLive their pipes are
// smaller: a user may have 16384 pages of pipe buffers (pipe(7)), and after that
// gets pipes of one page, also in programs that have nothing to do with us.
var live atomic.Int64

const (
	manyLive  = 128
	smallPipe = 16 << 10
)

// streamPipe makes the pipe of one of the job's streams.
func streamPipe(many bool) (rd, wr int, err error) {
	if rd, wr, err = pipe(); err == nil && many {
		_, _ = unix.FcntlInt(uintptr(wr), unix.F_SETPIPE_SZ, smallPipe) // the pipe is as good without
	}
	return rd, wr, err
}

func socketpair() ([2]int, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return p, os.NewSyscallError("socketpair", err)
	}
	return [2]int{raise(p[0]), raise(p[1])}, nil
}

// raise moves a descriptor above the standard ones: the job puts its own
// streams there, and the caller may have closed some of his.
func raise(fd int) int {
	if fd > 2 {
		return fd
	}
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fd
	}
	_ = unix.Close(fd)
	return n
}

// poll is ppoll(2) with a timeout in nanoseconds, negative for none.
func poll(fds []unix.PollFd, timeout time.Duration) error {
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		ts = &t
	}
	_, err := unix.Ppoll(fds, ts, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("ppoll", err)
	}
	return nil
}

// ring wakes who waits for an eventfd. Nobody would do it later, so a failure
// is not taken for an answer; only a full counter is none, and has been rung.
func ring(fd int) (err error) {
	one := [8]byte{1}
	for range 3 {
		if _, err = unix.Write(fd, one[:]); err == nil || errors.Is(err, unix.EAGAIN) {
			return nil
		}
	}
	return os.NewSyscallError("write", err)
}
