package prog

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Binding gives a slot its descriptor.
type Binding struct {
	Slot Slot
	Fd   int
}

// A Process is a started program.
type Process struct {
	Pid   int      // of init, as the runner sees it; for messages, never for kill(2)
	PidFd *os.File // of init; the caller closes it

	arena *arena
}

// Start forks init, which begins at once. Each binding names a descriptor that
// the program uses; they stay the caller's and must be open until the child
// has closed its copies or they are no longer needed by either side.
// SlotStatus and SlotCtl must be bound. Descriptors are numbered 3 and above:
// the job puts its standard streams below.
//
// It may be called from several goroutines. The error is ErrNUL or ErrTooBig
// for strings no execve could take, or the errno of clone3. The caller calls
// Release when it needs no time stamps any more.
func (p *Program) Start(bindings []Binding) (*Process, error) {
	img, err := image()
	if err != nil {
		return nil, err
	}
	big, err := isBig()
	if err != nil {
		return nil, err
	}
	a, err := newArena(p, big)
	if err != nil {
		return nil, err
	}
	h := a.head()
	h.kept.image(img, a.mem)
	h.cloneJob = cloneArgs{exitSignal: uint64(unix.SIGCHLD)}
	proc := &Process{arena: a}
	if big {
		err = proc.spawn(p.Flags, bindings)
	} else {
		err = proc.fork(p.Flags, bindings)
	}
	if err != nil {
		return nil, errors.Join(err, a.free())
	}
	return proc, nil
}

// fork starts the program as a child of this process.
func (p *Process) fork(flags uint64, bindings []Binding) error {
	h := p.arena.head()
	for _, b := range bindings {
		h.slot[b.Slot] = int64(b.Fd)
	}
	// The exit signal is 0: a program that waits for its own children does not
	// meet ours (clone(2), __WCLONE), and gets no SIGCHLD.
	h.cloneInit = cloneArgs{flags: flags | unix.CLONE_PIDFD, pidfd: h.pidfdAddress()}
	pid, err := forkProgram(h)
	if err != nil {
		return err
	}
	p.Pid, p.PidFd = pid, os.NewFile(uintptr(h.pidfd), "pidfd")
	return nil
}

// Stamp returns time stamp i, CLOCK_MONOTONIC, or 0 if it was not reached.
func (p *Process) Stamp(i int) time.Duration {
	if p.arena == nil {
		return 0
	}
	return time.Duration(p.arena.head().stamp[i])
}

// Release unmaps the table on the runner's side. It must be called once.
func (p *Process) Release() error {
	a := p.arena
	p.arena = nil
	return a.free()
}

// errBuildMode: the interpreter must lie in the main program's own image,
// which scrub keeps; in a shared library or plug-in it does not.
var errBuildMode = errors.New("package prog is linked into a shared library or plug-in, where it cannot fork")

// An imageInfo is what scrub must keep of this process, and where its address
// space ends.
type imageInfo struct {
	span span
	top  uintptr
}

var image = sync.OnceValues(findImage)
