package sandbox

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"sync"
	"time"

	"github.com/jailrun/jailrun/limits"
)

// A Pool keeps sandboxes ready for jobs to come: made up to the point where the
// job only has to learn what to run. Each is used for one job and thrown away,
// as one that is launched cold. A Cmd whose Pool field names it, and which
// differs from the pool's template in nothing that shapes a sandbox, takes one;
// every other Cmd, and one that finds none ready, is launched cold.
//
// What may differ is Args, Env, Runtime, Workdir, the streams, and of Limits
// CPUTime, Wall, Grace, CancelGrace, Output and TruncateOutput. Arguments and
// environment beyond 128 KiB are launched cold.
//
// What is copied for want of an overlay would be older than the job: there a
// pool prepares nothing. With [CWDAuto] its Cmds see the current directory
// read-only instead.
//
// A pool begins with as many ready sandboxes as there are CPUs, doubles that
// when a Cmd finds none, and halves it, down to none, when nobody takes any.
// It sees the host, and the rights of this process, as they were when a sandbox
// was prepared. A ready sandbox is two processes that wait, 13 descriptors and
// about half a megabyte.
//
// All methods may be called from several goroutines. A pool must be closed;
// with the end of the process its sandboxes end in any case.
type Pool struct {
	template Spec
	dir      string // that the template shows as current; what Dir "" means
	subtree  *limits.Subtree
	evacuate bool
	most     int
	ctx      context.Context // of the preparations
	cancel   context.CancelFunc
	work     sync.WaitGroup
	idle     *time.Timer

	mu     sync.Mutex // guards what follows
	ready  []*run     // the oldest first
	target int        // how many are to be ready
	making int
	ending int
	failed error // why preparing has stopped; the next Cmd lets it try again
	closed bool
	stats  PoolStats
	left   []error // what could not be undone
}

// PoolOptions are for [NewPool]. The zero value is ready to be used.
type PoolOptions struct {
	// Most sandboxes that are ready at one time; 0 means 8 for each CPU. Also
	// the most that are being taken down behind the back of Wait.
	Most int
	// Subtree and Evacuate say where groups are made, as those of [Cmd].
	Subtree  *limits.Subtree
	Evacuate bool
}

// PoolStats counts what a pool has done.
type PoolStats struct {
	Ready    int   // sandboxes that wait
	Prepared int   // in all
	Taken    int   // by a job
	Missed   int   // times that a Cmd that fits found none
	Unfit    int   // Cmds that are shaped otherwise
	Lost     int   // sandboxes that had ended, or failed, before a job ran in them
	Err      error // why nothing is being prepared; nil if all is well
}

const (
	// idleHalving is how long nobody takes a sandbox until half of them go.
	idleHalving = 10 * time.Second
	// perCPU is the default of PoolOptions.Most.
	perCPU = 8
	// makersPerCPU bounds the preparations at one time: they share the CPUs
	// with the jobs.
	makersPerCPU = 1
)

// NewPool returns a pool of sandboxes for Cmds that are shaped like template,
// and begins to prepare some. The error is an *[Error] for a template that
// cannot be.
func NewPool(template Spec, o PoolOptions) (*Pool, error) {
	if o.Most <= 0 {
		o.Most = perCPU * runtime.GOMAXPROCS(0)
	}
	p := &Pool{template: shape(&template), subtree: o.Subtree, evacuate: o.Evacuate, most: o.Most, target: min(o.Most, runtime.GOMAXPROCS(0))}
	if len(template.CopyIn) > 0 || template.collects() || template.Upper != "" {
		return nil, wrap("spec", fieldError("files", "", "copied in or out, or kept, belong to one run and not to a pool"))
	}
	check := p.stub()
	plan, err := check.Plan()
	if err != nil {
		return nil, err
	}
	p.dir = plan.dir
	if plan.fills() {
		p.most, p.target = 0, 0 // each run is launched as it is without a pool
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.idle = time.AfterFunc(idleHalving, p.shrink)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill()
	return p, nil
}

// Command returns a Cmd for the program and its arguments that fits the pool.
func (p *Pool) Command(name string, arg ...string) *Cmd {
	c := &Cmd{Spec: p.template, Pool: p, Subtree: p.subtree}
	c.Args = append([]string{name}, arg...)
	return c
}

// shape is what of a Spec must be known when a sandbox is prepared.
func shape(s *Spec) Spec {
	x := *s
	x.Args, x.Env, x.AddEnv, x.Workdir, x.Runtime = nil, nil, nil, "", ""
	l := &x.Limits
	l.CPUTime, l.Wall, l.Grace, l.CancelGrace, l.Output, l.TruncateOutput = 0, 0, 0, 0, 0, false
	return x
}

// stub is the Cmd of a preparation.
func (p *Pool) stub() *Cmd {
	c := &Cmd{Spec: p.template, Pool: p, Subtree: p.subtree, Evacuate: p.evacuate}
	c.Args = []string{"(to be said)"}
	if p.dir != "" {
		c.Dir = p.dir
	}
	return c
}

// fits reports whether a sandbox of the pool is one that c would make itself.
func (p *Pool) fits(c *Cmd) bool {
	if len(c.CopyIn) > 0 || c.collects() || c.Upper != "" || c.Network != nil {
		return false // files come and go around one run
	}
	if c.Subtree != nil && c.Subtree != p.subtree {
		return false
	}
	s := shape(&c.Spec)
	if s.Dir == "" && p.template.Dir == "" && s.CWD != CWDNone {
		if dir, err := currentDir(""); err != nil || dir != p.dir {
			return false
		}
	}
	return reflect.DeepEqual(s, p.template)
}

// take returns a ready sandbox, or nil.
func (p *Pool) take(c *Cmd) *run {
	fits := p.fits(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil
	case !fits:
		p.stats.Unfit++
		return nil
	}
	p.idle.Reset(idleHalving)
	p.failed = nil
	var r *run
	if len(p.ready) > 0 {
		r, p.ready = p.ready[0], p.ready[1:]
		p.stats.Taken++
	} else {
		p.stats.Missed++
		p.target = min(max(2*p.target, 1), p.most)
	}
	if len(p.ready) < (p.target+1)/2 {
		p.fill() // else when the job is over: beside it both would take longer
	}
	return r
}

// fill prepares what is missing. The lock is held.
func (p *Pool) fill() {
	for p.making < makersPerCPU*runtime.GOMAXPROCS(0) && len(p.ready)+p.making < p.target && !p.closed && p.failed == nil {
		p.making++
		p.work.Go(p.makeSome)
	}
}

// makeSome prepares sandboxes until there are enough.
func (p *Pool) makeSome() {
	for {
		r, err := p.prepare()
		p.mu.Lock()
		switch {
		case err != nil:
			p.failed = err
		case p.closed:
			defer p.discard(r)
		default:
			p.stats.Prepared++
			p.ready = append(p.ready, r)
		}
		if err != nil || p.closed || len(p.ready)+p.making > p.target {
			p.making--
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

// shrink lets sandboxes go that nobody has asked for.
func (p *Pool) shrink() {
	p.mu.Lock()
	p.target /= 2
	var surplus []*run
	if n := len(p.ready) - p.target; n > 0 && !p.closed {
		surplus, p.ready = p.ready[:n], p.ready[n:]
	}
	if p.target > 0 && !p.closed {
		p.idle.Reset(idleHalving)
	}
	p.mu.Unlock()
	for _, r := range surplus {
		p.discard(r)
	}
}

// end takes the sandbox of a job that is over down: behind the back of its
// Wait, unless too many are at it.
func (p *Pool) end(r *run) {
	p.mu.Lock()
	behind := !p.closed && p.ending < p.most
	if behind {
		p.ending++
		p.work.Go(func() {
			p.discard(r)
			p.mu.Lock()
			p.ending--
			p.fill()
			p.mu.Unlock()
		})
	}
	p.mu.Unlock()
	if !behind {
		p.discard(r)
	}
}

// discard undoes a sandbox and keeps what went wrong for Close.
func (p *Pool) discard(r *run) {
	r.release()
	const most = 100
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.left) < most {
		p.left = append(p.left, r.leftovers...)
	}
}

// Stats returns the counts so far.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Ready, s.Err = len(p.ready), p.failed
	return s
}

// Close ends the ready sandboxes and waits until nothing of the pool is left.
// Cmds that have taken a sandbox run on; later ones are launched cold. The
// error tells what could not be undone, of jobs that have ended as well. A
// second call does nothing.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	ready := p.ready
	p.ready = nil
	p.mu.Unlock()
	p.idle.Stop()
	p.cancel()
	for _, r := range ready {
		p.discard(r)
	}
	p.work.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.left...)
}
