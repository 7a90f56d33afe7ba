package userns

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// host is the machine as its text files show it. Tests show another one.
type host struct {
	proc string // the directory of procfs
}

var thisHost = host{proc: "/proc"}

// read returns a small file below /proc without surrounding white space.
func (h host) read(name string) (string, error) {
	path := h.proc + "/" + name
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	return readSmall(fd, path)
}

// readSmall reads and closes a file of the kernel's, 16 KiB at most: a map of 340
// lines of 33 bytes fits. It is on the way to a launch, where an os.File, with its
// question whether the file can be polled, would cost as much as the reading.
func readSmall(fd int, path string) (string, error) {
	defer unix.Close(fd)
	buf := make([]byte, 16<<10)
	n := 0
	for n < len(buf) {
		m, err := unix.Read(fd, buf[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		}
		if m == 0 {
			break
		}
		n += m
	}
	return strings.TrimSpace(string(buf[:n])), nil
}

// sysctl returns the number in /proc/sys/NAME; false where there is no such
// setting, which kernels without a patch or a module do not have.
func (h host) sysctl(name string) (int64, bool) {
	s, err := h.read("sys/" + name)
	if err != nil {
		return 0, false
	}
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil
}

// status returns one field of /proc/self/status, "" if it is not there.
func (h host) status(field string) string {
	s, err := h.read("self/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(s) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// target is a process whose identity is certain: dir is its directory in /proc,
// opened while pidfd showed it alive. Names below dir never lead to a process that
// was given the same number later; they give ESRCH.
type target struct {
	pid, pidfd, dir int
}

// openTarget opens the directory of a process. The caller closes it.
func openTarget(pid, pidfd int) (*target, error) {
	path := "/proc/" + strconv.Itoa(pid)
	dir, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	t := &target{pid: pid, pidfd: pidfd, dir: dir}
	// In this order: a pid cannot be given away while its process is alive, so
	// alive now means that the directory opened before is its own.
	if err := t.alive(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *target) close() { _ = unix.Close(t.dir) }

// alive returns an error with ESRCH once the process has ended.
func (t *target) alive() error {
	if t.pidfd < 0 {
		// poll(2) ignores negative descriptors: everybody would be alive.
		return fmt.Errorf("pidfd %d: %w", t.pidfd, unix.EBADF)
	}
	fds := []unix.PollFd{{Fd: int32(t.pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n == 0:
			return nil
		case fds[0].Revents&unix.POLLNVAL != 0:
			return fmt.Errorf("pidfd %d: %w", t.pidfd, unix.EBADF)
		default:
			return fmt.Errorf("process %d has ended: %w", t.pid, unix.ESRCH)
		}
	}
}

// open opens a file of the process. The path is for errors.
func (t *target) open(name string, flags int) (fd int, path string, err error) {
	path = "/proc/" + strconv.Itoa(t.pid) + "/" + name
	fd, err = unix.Openat(t.dir, name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, path, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, path, nil
}

// write writes text to a file of the process in one write(2), which is all that
// the map files accept.
func (t *target) write(name string, text []byte) error {
	fd, path, err := t.open(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := unix.Write(fd, text)
	if err == nil && n != len(text) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}
