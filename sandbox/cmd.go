package sandbox

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/jailrun/jailrun/limits"
)

// A Cmd is one run of an untrusted program, in the shape of os/exec's. It must
// not be copied or used again after Start. Different Cmds may run in different
// goroutines at the same time.
type Cmd struct {
	Spec

	// Stdin is the job's standard input; nil gives it none. It reaches the job
	// through a pipe of ours, never as the descriptor itself.
	Stdin io.Reader
	// Stdout and Stderr receive the job's output; nil discards it, and it still
	// counts against Limits.Output. If both are the same comparable value, at
	// most one goroutine at a time calls Write. Of a writer that blocks when the
	// job is over and the run is canceled, one Write may outlast Wait.
	Stdout, Stderr io.Writer

	// ImportImage, if set, imports an image that Rootfs names by a file and
	// that the store does not know, and returns its id; source is in the form
	// of Rootfs with an absolute path. Without it that is an error
	// ([fs.ErrNotImported]). jailrun runs `jailrun image import` for it.
	ImportImage func(ctx context.Context, source string) (id string, err error)

	// Trace, if set, is told what happens, from the goroutine of Start or Wait.
	Trace func(Event)

	// BeforeClone, if set, is called by Start right before init begins with the
	// launch: what has to be in place when the job runs, as the handlers of
	// signals, can be set up meanwhile and is awaited here. A launch that falls
	// back on another way calls it again; a run from a pool does not.
	BeforeClone func()

	// TraceStartup puts Startup.Stages into the Result. The times are taken in
	// any case.
	TraceStartup bool

	// Pool, if set, may have a sandbox ready for this Cmd; else it is launched
	// as without. Wait then returns when the job is over and its output has
	// been passed on, and the pool takes the sandbox down behind it.
	Pool *Pool

	// Network gives the job a network; nil leaves it its own loopback. It goes
	// with Net NetNone only, and must not be used by two Cmds.
	Network Network

	// Subtree is where the job's group is made; nil lets FindSubtree look, for
	// this process's lifetime.
	Subtree *limits.Subtree

	// Evacuate lets the first Start of the process move the calling process
	// and its ancestors into a leaf of their own group, or the calling process
	// into a scope of its own, where the kernel could not hold the limits
	// otherwise. It is for a program's own main; false changes nothing of the
	// caller.
	Evacuate bool

	// Noise fills in Result.Noise: how far other work disturbed the run.
	Noise bool

	// LeaveInit lets Wait return when every process of the job is dead and
	// reaped, while init itself may still be letting go of its mounts, which
	// takes the kernel 0.4 ms. It is for a program that ends right after; one
	// that goes on would keep a zombie. A run with a group waits in any case.
	LeaveInit bool

	// ForkAhead lets the first Start of the process fork init from another
	// thread, while it finds out what init has to do. It is for a program whose
	// threads are alike in ids, namespaces, filters and whatever else a child
	// inherits: false lets the thread fork that calls Start.
	ForkAhead bool

	run  *run
	live atomic.Pointer[run] // from the success of Start to the return of Wait, for other goroutines
}

// An Event is something that happened during a run.
type Event struct {
	Time  time.Time
	Stage string        // of the launch, or "run"
	Text  string        // what happened, lower case, no period
	Took  time.Duration // 0 if it has no length
}

// Command returns a Cmd for the program and its arguments, with safe defaults.
func Command(name string, arg ...string) *Cmd {
	return &Cmd{Spec: Spec{Args: append([]string{name}, arg...)}}
}

// Run starts the job and waits for its end. See Start and Wait.
func (c *Cmd) Run(ctx context.Context) (*Result, error) {
	if err := c.Start(ctx); err != nil {
		return c.failed(err), err
	}
	return c.Wait()
}

// Output runs the job and returns what it wrote to its standard output.
func (c *Cmd) Output(ctx context.Context) ([]byte, *Result, error) {
	if c.Stdout != nil {
		return nil, nil, errStdoutSet
	}
	var b outputBuffer
	c.Stdout = &b
	r, err := c.Run(ctx)
	return b.b, r, err
}

type outputBuffer struct{ b []byte }

func (o *outputBuffer) Write(p []byte) (int, error) {
	o.b = append(o.b, p...)
	return len(p), nil
}
