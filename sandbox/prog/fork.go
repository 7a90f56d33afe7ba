package prog

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

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
	// The first program is a child of this process: a spawner costs more than
	// one launch saves, but less than two.
	big := launches.Add(1) > 1
	if !big {
		if big, err = isBig(); err != nil {
			return nil, err
		}
	}
	return p.lay(img, big, 0, func(proc *Process) error {
		if big {
			return proc.spawn(p.Flags, bindings)
		}
		return proc.fork(p.Flags, bindings)
	})
}

// StartChild is Start without the help of a spawner, so that the program is this
// process's child in any case: who starts it reaps it, by wait4 with __WALL. The
// fork costs what this process has in memory (see BigProcess).
func (p *Program) StartChild(bindings []Binding) (*Process, error) {
	img, err := image()
	if err != nil {
		return nil, err
	}
	return p.lay(img, false, 0, func(proc *Process) error { return proc.fork(p.Flags, bindings) })
}

// lay lays the program out in memory, with some more room, and starts it.
func (p *Program) lay(img imageInfo, memfd bool, more int, start func(*Process) error) (*Process, error) {
	for tries := maxCollisions; ; tries-- {
		a, err := newArena(p, memfd, more)
		if err != nil {
			return nil, err
		}
		h := a.head()
		h.kept.image(img, a.mem)
		proc := &Process{arena: a}
		if err = start(proc); err == nil {
			return proc, nil
		}
		// Not before the next arena has found another place.
		defer func() { _ = a.free() }()
		if !memfd || tries == 0 || !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
	}
}

var launches atomic.Int64

// maxCollisions is how often an arena may be made anew because the spawner
// has a page of its own at the address: one that this process has unmapped
// since, as the C library does with the stack of a thread that ended.
const maxCollisions = 3

// fork starts the program as a child of this process.
func (p *Process) fork(flags uint64, bindings []Binding) error {
	h := p.arena.head()
	for _, b := range bindings {
		h.slot[b.Slot] = int64(b.Fd)
	}
	// The exit signal is 0: a program that waits for its own children does not
	// meet ours (clone(2), __WCLONE), and gets no SIGCHLD.
	h.cloneInit = cloneArgs{flags: flags | unix.CLONE_PIDFD, pidfd: h.pidfdAddress()}
	h.kept.omit[0] = heapAround(unsafe.Pointer(p))
	pid, err := forkProgram(h)
	if err != nil {
		return err
	}
	p.Pid, p.PidFd = pid, os.NewFile(uintptr(h.pidfd), "pidfd")
	return nil
}

// Took reports whether init has the program that it was given. It is false of an
// [Ahead] that failed or was killed over what it did before.
func (p *Process) Took() bool {
	h := p.arena.head()
	return h.first == nil || atomic.LoadUint32(&h.took) != 0
}

// Stamp returns time stamp i, CLOCK_MONOTONIC, or 0 if it was not reached.
func (p *Process) Stamp(i int) time.Duration {
	if p.arena == nil {
		return 0
	}
	return time.Duration(p.arena.head().stamp[i])
}

// A Mark says when init or the job entered a stage. A stage may come again.
type Mark struct {
	InJob bool
	Stage Stage
	At    time.Duration // CLOCK_MONOTONIC
}

// Marks returns what init has passed, and then what the job has, each in
// order. It is for when both are past that; it costs a launch one reading of
// the clock for each mark.
func (p *Process) Marks() []Mark {
	if p.arena == nil {
		return nil
	}
	var marks []Mark
	for i := range p.arena.head().trail {
		t := &p.arena.head().trail[i]
		for j := range min(t.n, maxMarks) {
			marks = append(marks, Mark{InJob: i == 1, Stage: Stage(t.stage[j]), At: time.Duration(t.at[j])})
		}
	}
	return marks
}

// Ended returns when init reaped the job's main process, by CLOCK_MONOTONIC; 0
// before. Init's report comes later, when all of the job is dead. Any goroutine
// may call it until Release.
func (p *Process) Ended() time.Duration {
	return time.Duration(atomic.LoadInt64(&p.arena.head().loop.exit.ended))
}

// MainExit is what init would report of the main process once it has Ended,
// for when init cannot; of the others it knows nothing. Nil before.
func (p *Process) MainExit() *Exit {
	ended := p.Ended()
	if ended == 0 {
		return nil
	}
	exit := &p.arena.head().loop.exit
	return &Exit{Status: unix.WaitStatus(exit.status), Ended: ended, Main: exit.main, All: exit.main}
}

// Release unmaps the table on the runner's side. It must be called once.
func (p *Process) Release() error {
	if !p.Took() {
		launches.Add(-1) // it was none
	}
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
	data span // what of it can be written
	libc bool // the C library is in use
	// A dynamic loader has started the program, and left no C library.
	loaded bool
	top    uintptr
}

var image = sync.OnceValues(findImage)
