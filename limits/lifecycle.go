package limits

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Kill kills every process of the group, pid 1 included, and does not wait for
// their end. It reaches frozen and stopped processes and cannot be outrun by
// forks. Killing an empty group is no error; the error of one that is gone
// wraps [ErrGone].
func (g *Group) Kill() error { return kill(g.run) }

// KillJob kills every process of the job, and not pid 1, and lifts cpu.max: a
// process that is killed has to run to come to its end, and one that is
// throttled does not run before the next period, nor does pid 1 beside it,
// which is to report. It must not be called at the same time as Verify. On a
// kernel without cgroup.kill (before Linux 5.14) it does nothing.
func (g *Group) KillJob() error {
	if err := g.job.write("cgroup.kill", "1"); errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return gone(err)
	}
	for i := range g.settings {
		s := &g.settings[i]
		if s.File != "cpu.max" {
			continue
		}
		text, err := g.run.read(s.File)
		if err != nil {
			return gone(err)
		}
		_, period, _ := strings.Cut(s.Value, " ")
		if string(bytes.TrimSpace(text)) != s.Value {
			return nil // somebody else's by now, as Verify will say
		}
		if err := g.run.write(s.File, "max"); err != nil {
			return gone(err)
		}
		s.Value = "max " + period
	}
	return nil
}

func kill(run dir) error {
	err := run.write("cgroup.kill", "1")
	if !errors.Is(err, unix.ENOENT) {
		return gone(err)
	}
	// No such file before Linux 5.14, or no such group.
	for _, name := range []string{jobLeaf, initLeaf} {
		leaf, err := run.child(name)
		if err == nil {
			err = killByHand(leaf)
			leaf.close()
		}
		if err != nil {
			return gone(err)
		}
	}
	return nil
}

// killByHand kills the processes of a group that has no cgroup.kill. The group
// is frozen first, so that it cannot fork faster than it is listed; a frozen
// process can be killed. A listed number may belong to another process by the
// time it is used, so each is first held by a pidfd and then looked up again.
func killByHand(d dir) error {
	if err := d.write("cgroup.freeze", "1"); err != nil {
		return err
	}
	killed := map[int]bool{}
	for {
		fresh := map[int]int{} // pid → pidfd
		listed, err := d.procs()
		for _, pid := range listed {
			if killed[pid] || pid == 0 {
				continue
			}
			if fd, err := unix.PidfdOpen(pid, 0); err == nil {
				fresh[pid] = fd
			}
		}
		if err == nil {
			listed, err = d.procs()
		}
		for _, pid := range listed {
			if fd, ok := fresh[pid]; ok {
				killed[pid] = true
				if sendErr := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); sendErr != nil && sendErr != unix.ESRCH && err == nil {
					err = d.fail("kill "+strconv.Itoa(pid)+" of", "", sendErr)
				}
			}
		}
		for _, fd := range fresh {
			_ = unix.Close(fd)
		}
		// A fork that was under way when the freeze was asked for may still
		// arrive; each round has found a process that was not known before.
		if err != nil || len(fresh) == 0 {
			return err
		}
	}
}

// Freeze stops the job, or lets it go on, invisibly to itself: no signal is
// sent. pid 1 is not touched. The job stands still a moment after the call
// returns; see [Group.Frozen].
func (g *Group) Freeze(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return gone(g.job.write("cgroup.freeze", value))
}

// Frozen reports whether every process of the job stands still in answer to
// Freeze(true).
func (g *Group) Frozen() (bool, error) {
	return g.job.event("frozen")
}

// event reads a flag of cgroup.events.
func (d dir) event(key string) (bool, error) {
	text, err := d.read("cgroup.events")
	if err != nil {
		return false, gone(err)
	}
	flag := keyed(text).get(key)
	if !flag.Known {
		return false, d.fail("parse "+key+" in", "cgroup.events", errNotANumber)
	}
	return flag.Value != 0, nil
}

// WaitEmpty waits until the group holds no process. The kernel announces it,
// nothing is polled. After timeout the error wraps [os.ErrDeadlineExceeded].
func (g *Group) WaitEmpty(timeout time.Duration) error {
	return waitEmpty(g.run, Now()+timeout)
}

func waitEmpty(d dir, deadline time.Duration) error {
	w, err := watch(d)
	if err != nil {
		return err
	}
	defer w.close()
	for {
		// The flag is read after the watch is open: a change in between wakes
		// the poll below.
		populated, err := w.populated()
		if err != nil || !populated {
			return err
		}
		left := deadline - Now()
		if left <= 0 {
			return d.fail("wait for the end of", "", os.ErrDeadlineExceeded)
		}
		if err := w.wait(left); err != nil {
			return err
		}
	}
}

// watcher waits for changes of a group's cgroup.events.
type watcher struct {
	dir dir
	fd  int
}

func watch(d dir) (*watcher, error) {
	fd, err := d.openAt("cgroup.events", unix.O_RDONLY)
	if err != nil {
		return nil, gone(err)
	}
	return &watcher{d, fd}, nil
}

func (w *watcher) populated() (bool, error) {
	var buf [256]byte
	n, err := ignoringEINTR(func() (int, error) { return unix.Pread(w.fd, buf[:], 0) })
	if err != nil {
		return false, gone(w.dir.fail("read", "cgroup.events", err))
	}
	flag := keyed(buf[:n]).get("populated")
	if !flag.Known {
		return false, w.dir.fail("parse populated in", "cgroup.events", errNotANumber)
	}
	return flag.Value != 0, nil
}

// wait returns when the file has changed since it was last read, and at the
// latest after the given time.
func (w *watcher) wait(limit time.Duration) error {
	spec := unix.NsecToTimespec(int64(limit))
	fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLPRI}}
	if _, err := unix.Ppoll(fds, &spec, nil); err != nil && err != unix.EINTR {
		return os.NewSyscallError("ppoll", err)
	}
	return nil
}

func (w *watcher) close() { _ = unix.Close(w.fd) }
