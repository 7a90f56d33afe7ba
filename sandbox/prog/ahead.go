package prog

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Ahead is an init that is forked before its program is known. To make the
// namespaces takes the kernel about as long as its process takes to find out
// what to put there, so both go on at once. Until it is given a program, init
// holds nothing but one end of a socket, and ends with this process.
type Ahead struct {
	flags  uint64
	arena  *arena
	sock   int // our end
	forked chan struct{}
	pid    int   // from here on not before forked
	err    error // of the fork
}

// ErrAhead reports an Ahead that cannot take the program: the namespaces are
// others, the program is too long, or init could not be forked or was killed.
var ErrAhead = errors.New("the init that was forked ahead is of no use")

// aheadRoom is what an Ahead has for its program, in bytes. Most need a fifth;
// what is not used costs nothing.
const aheadRoom = 256 << 10

// ForkAhead begins to fork an init with the namespaces of flags, into the group
// whose directory is open as group, -1 for that of this process. It returns nil,
// and does nothing, in a process whose next launch takes a spawner. The caller
// calls Start or Close, once.
//
// Which thread forks is not said: all must be alike in what a child inherits.
// What this process changes of itself afterwards, as its umask, its directory
// or its limits, init does not see.
func ForkAhead(flags uint64, group int) (*Ahead, error) {
	if launches.Load() > 0 {
		return nil, nil //nolint:nilnil // nothing to do is no error
	}
	if big, err := isBig(); big || err != nil {
		return nil, err
	}
	return forkAhead(flags, group)
}

func forkAhead(flags uint64, group int) (*Ahead, error) {
	img, err := image()
	if err != nil {
		return nil, err
	}
	mem, _, err := shared(aheadRoom, false)
	if err != nil {
		return nil, err
	}
	ours, its, err := spawnPair()
	if err != nil {
		return nil, errors.Join(err, unix.Munmap(mem))
	}
	launches.Add(1)
	a := &Ahead{flags: flags, arena: freshArena(mem), sock: ours, forked: make(chan struct{})}
	h := a.arena.head()
	h.ahead = true
	h.kept.image(img, mem)
	h.kept.omit = [2]span{heapAround(unsafe.Pointer(a)), img.data}
	h.slot[SlotCtl], h.slot[SlotInitGroup] = int64(its), int64(group)
	h.cloneInit = cloneArgs{flags: flags | unix.CLONE_PIDFD, pidfd: h.pidfdAddress()}
	go func() {
		a.pid, a.err = forkProgram(h)
		unix.Close(its)
		close(a.forked)
	}()
	return a, nil
}

// Start is [Program.Start], with the init that was forked ahead. After an
// ErrAhead it can be had without; the caller calls Close then, as after any
// other error.
func (a *Ahead) Start(p *Program, bindings []Binding) (*Process, error) {
	size, err := p.size()
	if err != nil {
		return nil, err
	}
	if p.Flags != a.flags || size > aheadRoom {
		return nil, ErrAhead
	}
	a.arena.lay(p)
	<-a.forked
	if a.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAhead, a.err)
	}
	h := a.arena.head()
	fds := h.expect(nil, bindings)
	if err := unix.Sendmsg(a.sock, []byte{0}, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAhead, os.NewSyscallError("sendmsg", err))
	}
	unix.Close(a.sock)
	return &Process{Pid: a.pid, PidFd: os.NewFile(uintptr(h.pidfd), "pidfd"), arena: a.arena}, nil
}

// Close ends an init that was given no program, and reaps it.
func (a *Ahead) Close() error {
	unix.Close(a.sock)
	<-a.forked
	launches.Add(-1)
	var err error
	if a.err == nil {
		fd := int(a.arena.head().pidfd)
		for {
			err = unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WALL, nil)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		if errors.Is(err, unix.ECHILD) { // the program waits for all its children
			err = nil
		}
		unix.Close(fd)
	}
	return errors.Join(os.NewSyscallError("waitid", err), a.arena.free())
}

// spawnPair makes a socket pair of which the other side's end lies where the
// standard streams do not.
func spawnPair() (ours, its int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socketpair", err)
	}
	if pair[1] >= firstFree {
		return pair[0], pair[1], nil
	}
	high, err := unix.FcntlInt(uintptr(pair[1]), unix.F_DUPFD_CLOEXEC, firstFree)
	unix.Close(pair[1])
	if err != nil {
		unix.Close(pair[0])
		return -1, -1, os.NewSyscallError("fcntl", err)
	}
	return pair[0], high, nil
}
