package prog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Ahead is an init that is forked before its program is known. To make the
// namespaces takes the kernel about as long as its process takes to find out
// what to put there, so both go on at once. Init takes the first steps, and then
// waits for the program, with nothing of this process but the end of a socket;
// it ends with this process.
type Ahead struct {
	flags  uint64
	done   []Step
	arena  *arena
	sock   int // our end
	forked chan struct{}
	pid    int   // from here on not before forked
	err    error // of the fork
}

// ErrAhead reports an Ahead that cannot take a program. The program has other
// namespaces or other first steps, or is too long; or init could not be forked,
// failed at a step, or was killed.
var ErrAhead = errors.New("the init that was forked ahead is of no use")

// aheadRoom is what an Ahead has for its program, in bytes. Most need a fifth;
// what is not used costs nothing.
const aheadRoom = 256 << 10

// ForkAhead begins to fork the init of a program: with its namespaces, and into
// the group whose directory is open as group, -1 for that of this process. Init
// does what p has, and ends if that fails; the program to come has the same steps
// and more. ForkAhead returns nil, and does nothing, in a process that has
// launched before: its launches take a spawner. The caller calls Start or Close,
// once.
//
// It is for a process that has little in memory, for all of it is copied (see
// BigProcess). Which thread forks is not said: all must be alike in what a child
// inherits. What this process changes of itself afterwards, as its umask, its
// directory or its limits, init does not see.
func ForkAhead(p *Program, group int) (*Ahead, error) {
	if launches.Load() > 0 {
		return nil, nil //nolint:nilnil // nothing to do is no error
	}
	return forkAhead(p, group)
}

func forkAhead(p *Program, group int) (*Ahead, error) {
	if _, err := p.size(); err != nil {
		return nil, err
	}
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
	a := &Ahead{flags: p.Flags, done: p.Init, arena: freshArena(mem), sock: ours, forked: make(chan struct{})}
	h := a.arena.head()
	h.first, h.nFirst = a.arena.table(p.Init, []Step{Call("program", opProgram)}, false)
	h.nFirst++
	h.kept.image(img, mem)
	// No step reads a variable, not even one of the runtime's. Where the compiler
	// has put some between (as for coverage), init dies of it here, and the
	// launch is an ordinary one.
	h.kept.omit = [2]span{heapAround(unsafe.Pointer(a)), img.data}
	h.slot[SlotCtl], h.slot[SlotInitGroup] = int64(its), int64(group)
	h.cloneInit = cloneArgs{flags: p.Flags | unix.CLONE_PIDFD, pidfd: h.pidfdAddress()}
	go func() {
		a.pid, a.err = forkProgram(h)
		unix.Close(its)
		close(a.forked)
	}()
	return a, nil
}

// Start is [Program.Start], with the init that was forked ahead. After an
// ErrAhead it can be had without; the caller calls Close then, as after any
// other error. The same is true of a process of which nothing is heard and that
// has not [Process.Took] it: what it failed at is not told.
func (a *Ahead) Start(p *Program, bindings []Binding) (*Process, error) {
	size, err := p.size()
	if err != nil {
		return nil, err
	}
	if p.Flags != a.flags || a.arena.used+size > aheadRoom || !a.didFor(p) {
		return nil, ErrAhead
	}
	a.arena.lay(p, true)
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

// didFor reports whether what has been done is what p wants done ahead.
func (a *Ahead) didFor(p *Program) bool {
	n := 0
	for i := range p.Init {
		s := &p.Init[i]
		if !s.ahead {
			continue
		}
		if n >= len(a.done) || !s.does(&a.done[n]) {
			return false
		}
		n++
	}
	return n == len(a.done)
}

// does reports whether two steps make the same call with the same arguments,
// with descriptors in whatever slots.
func (s *Step) does(t *Step) bool {
	return s.nr == t.nr && slices.EqualFunc(s.Args, t.Args, func(x, y Arg) bool {
		return x.kind == y.kind && (x.n == y.n || x.kind == argSlot) && x.str == y.str && bytes.Equal(x.data, y.data)
	})
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
