package batch

import (
	"context"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox"
)

// A launcher runs one sandbox after another, out of a pool where many jobs have
// the same shape. Its methods may be called from several goroutines once it is
// made.
type launcher struct {
	evacuate   bool
	pinByGroup bool // the kernel holds a job to its CPU
	pools      map[[32]byte]*sandbox.Pool
}

// The bounds of pools: fewer jobs are not worth the preparation, and each pool
// holds memory and processes.
const (
	leastForPool = 16
	mostPools    = 4
)

// newLauncher looks at the jobs that are still to run. Jobs of one family are
// taken to be of one shape: one that is not is launched cold.
func newLauncher(b *jobspec.Batch, o *Options, state []state) *launcher {
	l := &launcher{evacuate: o.Evacuate, pools: map[[32]byte]*sandbox.Pool{}}
	for _, j := range b.Jobs {
		if j.Pin != nil && *j.Pin {
			l.pinByGroup = hasCPUSet(o.Evacuate)
			break
		}
	}
	if o.Cold {
		return l
	}
	first, counts := map[string]*jobspec.Instance{}, map[string]int{}
	for i, j := range b.Jobs {
		if state[i] != waiting || j.Interact != nil || j.Pin != nil && *j.Pin || len(j.Inputs)+len(j.Outputs) > 0 || j.Network() != nil {
			continue
		}
		if counts[j.Family]++; counts[j.Family] == 1 {
			first[j.Family] = j
		}
	}
	for family, n := range counts {
		if n < leastForPool || len(l.pools) == mostPools {
			continue
		}
		spec, err := first[family].Spec(o.Load)
		if err != nil {
			continue // told when it is launched
		}
		if p, err := sandbox.NewPool(spec, sandbox.PoolOptions{Evacuate: o.Evacuate}); err == nil {
			l.pools[shape(spec)] = p // without one the launch itself tells what is wrong
		}
	}
	return l
}

func hasCPUSet(evacuate bool) bool {
	var s sandbox.Spec
	s.Limits.CPUs = "0"
	tree, err := sandbox.FindSubtree(&s, evacuate)
	return err == nil && tree.Lacks() == nil
}

// run runs a Cmd, on one CPU if cpu is not negative.
func (l *launcher) run(ctx context.Context, c *sandbox.Cmd, cpu int) (*sandbox.Result, error) {
	c.Evacuate = l.evacuate
	if cpu < 0 {
		if len(l.pools) > 0 {
			c.Pool = l.pools[shape(c.Spec)]
		}
		return c.Run(ctx)
	}
	if l.pinByGroup {
		c.Limits.CPUs = strconv.Itoa(cpu)
		return c.Run(ctx)
	}
	return runPinned(ctx, c, cpu)
}

// runPinned starts the job from a thread that has only this CPU, which all that
// is forked from it inherits. A job could give itself the other CPUs back; it
// would only disturb times, its own among them.
func runPinned(ctx context.Context, c *sandbox.Cmd, cpu int) (*sandbox.Result, error) {
	var all, one unix.CPUSet
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, err
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, err
	}
	err := c.Start(ctx)
	if back := unix.SchedSetaffinity(0, &all); back != nil && err == nil {
		// A thread of the runtime must not stay on one CPU: it ends with its
		// goroutine, which keeps it locked.
		runtime.LockOSThread()
	}
	if err != nil {
		return nil, err
	}
	return c.Wait()
}

func (l *launcher) close() error {
	var first error
	for _, p := range l.pools {
		if err := p.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
