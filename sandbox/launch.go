package sandbox

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/limits"
)

// Start launches the job and returns when its execve has succeeded. Cancelling
// ctx ends the job at any time; the Result then has the verdict canceled. The
// error is an *[Error]; nothing is left behind with one.
func (c *Cmd) Start(ctx context.Context) error {
	if c.run != nil {
		return wrap("start", errAlreadyStarted)
	}
	if c.Pool != nil {
		if done, err := c.Pool.start(ctx, c); done {
			return err
		}
	}
	c.run = newRun(ctx, c)
	return c.run.undone(c.run.start())
}

func newRun(ctx context.Context, c *Cmd) *run {
	return &run{cmd: c, ctx: ctx, began: limits.Now(), status: -1, ctl: -1, wake: -1, gate: -1}
}

// undone undoes what a failed start has made; err is nil for one that did not
// fail.
func (r *run) undone(err error) error {
	if err == nil {
		return nil
	}
	r.release()
	var e *Error
	if left := errors.Join(r.leftovers...); left != nil && errors.As(err, &e) {
		e.Err = errors.Join(e.Err, left)
	}
	return err
}

var (
	errAlreadyStarted = errors.New("sandbox: already started")
	errNotStarted     = errors.New("sandbox: not started")
	errStdoutSet      = errors.New("sandbox: Stdout already set")
)

// start makes as many attempts as there are things that only an attempt shows
// to be impossible here; see fallback.
func (r *run) start() error {
	s := &r.cmd.Spec
	if err := s.check(); err != nil {
		return wrap("spec", err)
	}
	r.id = newID()
	// The helpers of a network get ready beside the survey; they start in a group.
	if err := r.chooseTier(); err != nil {
		return wrap("limits", err)
	}
	r.forkAhead()
	net, err := r.prepareNetwork()
	if err != nil {
		return wrap("net", err)
	}
	f, s, err := r.cmd.surveyWithImage(r.ctx, true)
	if err != nil {
		return wrap("survey", err)
	}
	r.facts, r.spec = f, s
	if err := r.openOutputs(); err != nil {
		return wrap("files", err)
	}
	if err := r.prepareUpper(); err != nil {
		return wrap("files", err)
	}
	if r.cmd.Noise {
		r.noise = readHostNoise()
	}
	id, err := chooseIdentity(s, f, subordinate(f.uid))
	if err != nil {
		return wrap("identity", err)
	}
	b := build{net: net, held: r.held, identity: id, stdin: r.cmd.wantsStdin(), hasCgroup: r.group != nil, pooled: r.cmd.Pool != nil, netFirst: net != nil && r.cmd.Network.UsesInit()}
	if r.waiting {
		b.late, b.stdin = true, true
	}
	for {
		plan, err := newPlan(s, f, b)
		if err != nil {
			return wrap("plan", err)
		}
		if r.waiting && plan.fills() {
			return wrap("plan", errNotAhead)
		}
		r.plan = plan
		if rt := plan.runtime; rt != nil {
			r.event("plan", "runtime "+rt.Name+": "+strings.Join(rt.Env, " "), 0)
		}
		err = r.attempt()
		var e *Error
		if !errors.As(err, &e) {
			return err
		}
		if r.lostAhead() {
			r.event("clone", "init ended ahead of its program, and is forked again", 0)
			r.undo.run(&r.leftovers)
			continue
		}
		again, why := r.fallback(&b, e)
		if why != nil {
			return wrap("root", why)
		}
		if !again {
			return err
		}
		r.undo.run(&r.leftovers)
	}
}

// attempt forks the program and waits until the job runs or the launch failed.
func (r *run) attempt() error {
	r.undo, r.proc, r.watch, r.disk, r.servers = undo{}, nil, nil, nil, nil
	r.listener = newListener(r)
	r.procDir, r.upper, r.sysvShm, r.areas, r.kept = nil, nil, nil, nil, nil
	binds, err := r.descriptors()
	if err != nil {
		return wrap("descriptors", err)
	}
	id := &r.plan.identity
	if id.block {
		if err := r.takeBlock(id, &binds); err != nil {
			return wrap("identity", err)
		}
	}
	if len(r.plan.mapped) > 0 {
		if err := r.mapTrees(r.plan.mapped, &binds); err != nil {
			return wrap("root", err)
		}
	}
	if f := r.cmd.BeforeClone; f != nil {
		f()
	}
	r.cloned = limits.Now()
	if err := r.startProgram(binds); err != nil {
		return err
	}
	r.event("clone", "init forked", limits.Now()-r.cloned)
	if id.written {
		if err := r.order(0, 0); err != nil {
			return r.vanished(wrap("identity", err))
		}
	}
	if err := r.attachNetwork(); err != nil {
		return err
	}
	carried := r.carry()
	joined := r.joinNetwork() // in any case: it must not go on by itself
	if carried != nil {
		return wrap("files", carried)
	}
	if joined != nil {
		return joined
	}
	if r.waiting {
		return r.awaitReady()
	}
	return r.awaitExec()
}

// release undoes all that the run made; the group outlives single attempts.
func (r *run) release() {
	r.closeOutputs()
	r.undo.run(&r.leftovers)
	if err := r.closeAhead(); err != nil {
		r.leftovers = append(r.leftovers, err)
	}
	if err := r.closeNetwork(); err != nil {
		r.leftovers = append(r.leftovers, err)
	}
	if r.upperLock != nil {
		_ = r.upperLock.Close()
	}
	if err := r.removeGroup(); err != nil {
		r.leftovers = append(r.leftovers, err)
	}
	if r.facts != nil {
		if err := r.facts.closeImages(); err != nil {
			r.leftovers = append(r.leftovers, err)
		}
	}
}

// An undo is a list of reverse actions, run last first.
type undo []func() error

func (u *undo) add(f func() error) { *u = append(*u, f) }

func (u *undo) run(errs *[]error) {
	for i := range slices.Backward(*u) {
		if err := (*u)[i](); err != nil {
			*errs = append(*errs, err)
		}
	}
	*u = nil
}

// Plan works out the launch that Start would make and does nothing. It prints
// the plan of a run in the tier that Start would use, without making a group.
func (c *Cmd) Plan() (*Plan, error) {
	s := &c.Spec
	if err := s.check(); err != nil {
		return nil, wrap("spec", err)
	}
	f, s, err := c.surveyWithImage(context.Background(), false)
	if err != nil {
		return nil, wrap("survey", err)
	}
	defer f.closeImages() //nolint:errcheck // read only
	_, tree, _, err := c.tier("")
	if err != nil {
		return nil, wrap("limits", err)
	}
	id, err := chooseIdentity(s, f, subordinate(f.uid))
	if err != nil {
		return nil, wrap("identity", err)
	}
	var net *netFiles
	if c.Network != nil {
		net = &netFiles{} // what the files will say is known at the launch
	}
	plan, err := newPlan(s, f, build{net: net, held: heldBy(tree), identity: id, stdin: c.wantsStdin(), hasCgroup: tree != nil, pooled: c.Pool != nil, netFirst: net != nil && c.Network.UsesInit()})
	if err != nil {
		return nil, wrap("plan", err)
	}
	return plan, nil
}
