package sandbox

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Blocked reports whether the job can go on only when something arrives at its
// standard input: one of its tasks sleeps in a read of descriptor 0, or in a
// wait for several descriptors, and every other one in a wait for a lock, a
// child or descriptors. It is a look at one moment, and a wait may have a
// timeout: who concludes something from it looks again later. Any goroutine
// may call it; before Start has returned and after Wait has, it is an error.
func (c *Cmd) Blocked() (bool, error) {
	r := c.live.Load()
	if r == nil {
		return false, wrap("blocked", errNotRunning)
	}
	dir := r.shown.Load()
	if dir == nil {
		return false, nil // it is just beginning
	}
	proc, err := again(dir)
	if err != nil {
		return false, wrap("blocked", err)
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return false, wrap("blocked", err)
	}
	reads := false
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err != nil || pid == 1 {
			continue
		}
		reading, asleep, err := look(proc, name)
		if err != nil {
			return false, wrap("blocked", err)
		}
		if !asleep {
			return false, nil
		}
		reads = reads || reading
	}
	return reads, nil
}

// again opens a directory a second time, to be read from its start. The loop
// may close it meanwhile.
func again(dir *os.File) (*os.File, error) {
	var fd int
	err := withFd(dir, func(own int) (err error) {
		fd, err = unix.Openat(own, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return os.NewSyscallError("openat", err)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), dir.Name()), nil
}

// look looks at the tasks of one process. One that is just ending is as good
// as running: a moment later there is more to see.
func look(proc *os.File, pid string) (reading, asleep bool, err error) {
	fd, err := unix.Openat(int(proc.Fd()), pid+"/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if gone(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, &os.PathError{Op: "open", Path: "/proc/" + pid + "/task", Err: err}
	}
	tasks := os.NewFile(uintptr(fd), pid)
	defer tasks.Close()
	names, err := tasks.Readdirnames(-1)
	if err != nil || len(names) == 0 {
		return false, false, nil
	}
	for _, name := range names {
		text, err := readAt(fd, name+"/syscall")
		if gone(err) {
			return false, false, nil
		}
		if err != nil {
			return false, false, err
		}
		r, s := waits(text)
		if !s && !zombie(fd, name) {
			return false, false, nil
		}
		reading = reading || r
	}
	return reading, true, nil
}

func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

func readAt(dir int, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1024))
}

// zombie tells whether a task has ended and was not waited for.
func zombie(dir int, task string) bool {
	text, err := readAt(dir, task+"/stat")
	if err != nil {
		return gone(err)
	}
	_, state, ok := bytes.Cut(text, []byte(") "))
	return ok && len(state) > 0 && (state[0] == 'Z' || state[0] == 'X')
}

// waits reads a line of /proc/PID/syscall (proc(5)): the number of the call and
// its arguments, or "running".
func waits(text []byte) (reading, asleep bool) {
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return false, false
	}
	nr, err := strconv.Atoi(string(fields[0]))
	if err != nil {
		return false, false
	}
	switch nr {
	case unix.SYS_READ, unix.SYS_READV:
		stdin := string(fields[1]) == "0x0"
		return stdin, stdin
	case unix.SYS_FUTEX, unix.SYS_WAIT4, unix.SYS_WAITID:
		return false, true
	case unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_EPOLL_PWAIT:
		return true, true
	}
	polls := waitsForSeveral(nr)
	return polls, polls
}
