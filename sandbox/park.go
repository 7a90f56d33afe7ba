package sandbox

import (
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A thread that waits costs a launch nothing, but hundreds do: each wakes four
// times a second to look at its job's disk, and pivot_root visits every thread of
// the machine (chroot_fs_refs in fs/fs_struct.c). So where there is a crowd, a run
// whose job has been quiet waits in the lot.
const (
	quietAfter = 50 * time.Millisecond
	crowd      = 16 // live sandboxes of the process
)

// lot is where quiet runs wait: their descriptors are in one epoll set, which is
// in the runtime's poller, and their goroutines hold no thread. It is there as
// long as somebody waits in it.
var lot struct {
	sync.Mutex
	epoll *os.File // nil while nobody waits
	fd    int      // of it
	runs  map[int32]*place
	last  int32 // id
}

// A place is that of one run.
type place struct {
	id    int32
	fds   []unix.PollFd // that are watched
	ready chan struct{} // one of them is ready
}

// await waits until one of fds is ready, as their Revents then say, or for
// timeout if that is not negative. It may return early.
func (r *run) await(fds []unix.PollFd, timeout time.Duration) error {
	if r.place == nil {
		soon := timeout >= 0 && timeout <= quietAfter
		few := live.Load() <= crowd
		if soon || few {
			return poll(fds, timeout)
		}
		if err := poll(fds, quietAfter); err != nil || slices.ContainsFunc(fds, func(p unix.PollFd) bool { return p.Revents != 0 }) {
			return err
		}
		timeout = max(timeout-quietAfter, min(timeout, 0))
	}
	if !r.park(fds) {
		return poll(fds, timeout)
	}
	var due <-chan time.Time
	if timeout >= 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-due:
		return nil // and the place is kept: most often only the disk is looked at
	case <-r.place.ready:
	}
	r.unpark()
	return poll(fds, 0)
}

// park takes a place in the lot for fds, or keeps the one that the run has for
// the same. It reports false if none can be had.
func (r *run) park(fds []unix.PollFd) bool {
	if r.place != nil {
		if slices.EqualFunc(r.place.fds, fds, func(a, b unix.PollFd) bool { return a.Fd == b.Fd && a.Events == b.Events }) {
			return true
		}
		r.unpark()
	}
	lot.Lock()
	defer lot.Unlock()
	if lot.epoll == nil && openLot() != nil {
		return false
	}
	lot.last++
	p := &place{id: lot.last, fds: slices.Clone(fds), ready: make(chan struct{}, 1)}
	r.place, lot.runs[p.id] = p, p
	for _, f := range p.fds {
		// Once: it is ready until the run has looked, which takes it out.
		e := unix.EpollEvent{Events: uint32(uint16(f.Events)) | unix.EPOLLONESHOT, Fd: p.id}
		if unix.EpollCtl(lot.fd, unix.EPOLL_CTL_ADD, int(f.Fd), &e) != nil {
			r.leaveLot()
			return false
		}
	}
	return true
}

// unpark gives the run's place up, if it has one.
func (r *run) unpark() {
	if r.place != nil {
		lot.Lock()
		defer lot.Unlock()
		r.leaveLot()
	}
}

// leaveLot is unpark for who holds the lock.
func (r *run) leaveLot() {
	p := r.place
	r.place = nil
	delete(lot.runs, p.id)
	for _, f := range p.fds {
		// ENOENT: not added, after a failure, or EBADF: closed by now.
		_ = unix.EpollCtl(lot.fd, unix.EPOLL_CTL_DEL, int(f.Fd), nil)
	}
	if len(lot.runs) == 0 {
		_ = lot.epoll.Close() // which ends its goroutine
		lot.epoll = nil
	}
}

// openLot makes the epoll set, and the goroutine that tells who is ready.
func openLot() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err = unix.SetNonblock(fd, true); err != nil { // for NewFile, which then uses the poller
		return errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	f := os.NewFile(uintptr(fd), "runs that wait")
	conn, err := f.SyscallConn()
	if err == nil {
		err = f.SetReadDeadline(time.Time{}) // os.ErrNoDeadline: it is not in the poller
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	lot.epoll, lot.fd = f, fd
	if lot.runs == nil {
		lot.runs = map[int32]*place{}
	}
	go tellReady(conn)
	return nil
}

// tellReady wakes the runs that have something to look at, until the set is
// closed.
func tellReady(set syscall.RawConn) {
	var events [64]unix.EpollEvent
	for {
		n := 0
		err := set.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events[:], 0)
			return n > 0
		})
		if err != nil {
			return
		}
		lot.Lock()
		for _, e := range events[:n] {
			if p := lot.runs[e.Fd]; p != nil {
				select {
				case p.ready <- struct{}{}:
				default:
				}
			}
		}
		lot.Unlock()
	}
}
