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
// SlotStatus and SlotCtl must be bound.
//
// It may be called from several goroutines. The error is ErrNUL or ErrTooBig
// for strings no execve could take, or the errno of clone3. The caller calls
// Release when it needs no time stamps any more.
func (p *Program) Start(bindings []Binding) (*Process, error) {
	img, err := image()
	if err != nil {
		return nil, err
	}
	a, err := newArena(p)
	if err != nil {
		return nil, err
	}
	h := a.head()
	for _, b := range bindings {
		h.slot[b.Slot] = int64(b.Fd)
		h.owned |= 1 << b.Slot
	}
	h.keep[keepImage], h.top = img.span, img.top
	a.keepArena()
	h.cloneJob = cloneArgs{exitSignal: uint64(unix.SIGCHLD)}
	pid, err := fork(h, p.Flags)
	if err != nil {
		_ = unix.Munmap(a.mem)
		return nil, err
	}
	return &Process{Pid: pid, PidFd: os.NewFile(uintptr(h.pidfd), "pidfd"), arena: a}, nil
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
	mem := p.arena.mem
	p.arena = nil
	return unix.Munmap(mem)
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
