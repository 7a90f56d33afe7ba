package sandbox

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// prepare launches a sandbox up to the point where its job waits.
func (p *Pool) prepare() (*run, error) {
	r := newRun(p.ctx, p.stub())
	r.waiting = true
	return r, r.undone(r.start())
}

// awaitReady waits until the job of a prepared sandbox waits, and init has sent
// what it has to send.
func (r *run) awaitReady() error {
	stop := context.AfterFunc(r.ctx, r.poke)
	defer stop()
	for waits := false; !waits || r.procDir == nil; {
		fds := []unix.PollFd{
			{Fd: int32(r.status), Events: unix.POLLIN},
			{Fd: int32(r.wake), Events: unix.POLLIN},
			{Fd: int32(r.ctl), Events: unix.POLLIN},
			{Fd: int32(r.gate), Events: unix.POLLIN},
		}
		if waits {
			fds[3].Fd = -1
		}
		if err := poll(fds, -1); err != nil {
			return wrap("clone", err)
		}
		if r.ctx.Err() != nil {
			return wrap("clone", context.Cause(r.ctx))
		}
		if fds[2].Revents != 0 {
			if r.receive(); r.end.err != nil {
				return wrap("clone", r.end.err)
			}
		}
		if fds[3].Revents&unix.POLLIN != 0 {
			var b [1]byte
			n, err := unix.Read(r.gate, b[:])
			waits = n == 1 && err == nil
		}
		if fds[0].Revents != 0 || fds[2].Revents&unix.POLLHUP != 0 {
			ended, err := r.readStatus()
			if ended || err != nil {
				return orVanished(r, err)
			}
		}
	}
	r.plan.Program = r.plan.Program.Forget()
	return nil
}

func orVanished(r *run, err error) error {
	if err == nil {
		err = r.vanished(nil)
	}
	return err
}

// start starts c in a ready sandbox. It is not done if c is to be launched cold:
// then nothing of it has run.
func (p *Pool) start(ctx context.Context, c *Cmd) (done bool, err error) {
	if c.check() != nil {
		return false, nil // and says so there
	}
	for {
		r := p.take(c)
		if r == nil {
			return false, nil
		}
		if err := r.enter(ctx, c); err != nil {
			p.discard(r)
			return false, nil // a program that cannot be, or arguments without end
		}
		err := r.letIn()
		if err == nil || r.proc.Stamp(stampGo) > 0 && !plansUnnamed(err, r.plan) {
			return true, r.undone(err)
		}
		// Someone had ended it. Nothing of the job has run.
		p.mu.Lock()
		p.stats.Lost++
		p.mu.Unlock()
		p.discard(r)
		c.run = nil
	}
}

// enter makes a prepared sandbox that of c.
func (r *run) enter(ctx context.Context, c *Cmd) error {
	r.began = limits.Now()
	stdin := c.wantsStdin()
	s := c.withImage(r.facts.image)
	plan, late, err := r.plan.forJob(s, r.facts, stdin)
	if err != nil {
		return err
	}
	if err := r.proc.Give(late); err != nil {
		return err
	}
	r.plan, r.cmd, r.spec, r.ctx, r.pool, r.waiting = plan, c, s, ctx, c.Pool, false
	r.listener = newListener(r)
	r.streams[0].to, r.streams[1].to = c.Stdout, c.Stderr
	r.shareWriter()
	if stdin {
		r.input.from = c.Stdin
	} else {
		err = r.input.stop()
		r.input = nil
	}
	if c.Noise {
		r.noise = readHostNoise()
	}
	r.watch, r.disk = newWatch(r), newDisk(r)
	c.run = r
	return err
}

// letIn lets the job go, and waits until its program runs.
func (r *run) letIn() error {
	if n, err := unix.Write(r.gate, []byte{1}); n != 1 {
		return wrap("clone", errors.Join(errInitGone, os.NewSyscallError("write", err)))
	}
	return r.awaitExec()
}
