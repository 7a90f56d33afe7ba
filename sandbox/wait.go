package sandbox

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// supervise runs until the job is over and its output has been passed on.
func (r *run) supervise() error {
	if r.input != nil {
		if err := r.input.start(); err != nil {
			return err
		}
	}
	if r.plan.watchesMemory() || r.plan.watchesShare() {
		return limits.Promptly(r.loop)
	}
	return r.loop()
}

// loop watches the job and serves its streams until both have ended.
func (r *run) loop() error {
	defer r.unpark()
	for {
		r.clock()
		for _, s := range r.streams {
			if err := s.broken.Load(); err != nil {
				return *err
			}
		}
		if r.over() && r.streamsDone() {
			return nil
		}
		fds, handlers := r.pollSet()
		timeout := time.Duration(-1)
		if next := r.nextDeadline(); next > 0 {
			timeout = max(0, next-limits.Now())
		}
		if err := r.await(fds, timeout); err != nil {
			return err
		}
		for i, h := range handlers {
			if fds[i].Revents != 0 {
				h(fds[i].Revents)
			}
		}
		if r.end.err != nil {
			return r.end.err
		}
	}
}

// pollSet lists what the loop waits for, each with what to do.
func (r *run) pollSet() ([]unix.PollFd, []func(int16)) {
	fds, handlers := make([]unix.PollFd, 0, 6), make([]func(int16), 0, 6)
	add := func(fd int, h func(int16)) {
		fds, handlers = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}), append(handlers, h)
	}
	add(r.wake, func(int16) { r.attend() })
	if r.ctl >= 0 && r.exit == nil {
		add(r.ctl, func(int16) { r.receive() })
	}
	if !r.initGone && r.exit == nil {
		add(int(r.proc.PidFd.Fd()), func(int16) { r.initEnded() })
	}
	for _, s := range r.servers {
		if !s.ended && !s.killed {
			add(s.ctl, func(int16) { r.serverEnded(s) })
		}
	}
	if r.listener.fd >= 0 {
		add(r.listener.fd, r.listener.ready)
	}
	if w := r.watch; w != nil && w.squeeze != nil && w.squeeze.armed && !r.over() {
		fds = append(fds, unix.PollFd{Fd: int32(w.squeeze.watch.FD()), Events: unix.POLLPRI})
		handlers = append(handlers, func(int16) { w.squeeze.met(w) })
	}
	for _, s := range r.streams {
		if !s.running && s.fd >= 0 {
			add(s.fd, s.ready)
		}
	}
	return fds, handlers
}

// over reports whether the job has ended, though its output may not have.
func (r *run) over() bool { return r.exit != nil || r.initGone }

func (r *run) streamsDone() bool { return r.streams[0].over() && r.streams[1].over() }

// attend empties the eventfd; what it stands for is looked at by clock.
func (r *run) attend() {
	var b [8]byte
	_, _ = unix.Read(r.wake, b[:])
}

// receive takes one message of init's.
func (r *run) receive() {
	var buf [512]byte
	var oob [128]byte
	n, oobn, _, _, err := unix.Recvmsg(r.ctl, buf[:], oob[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case errors.Is(err, unix.ECONNRESET):
		// Init ended before it read our last order. It is told once, and before
		// the report that init had sent.
		return
	case err != nil:
		r.end.err = os.NewSyscallError("recvmsg", err)
		return
	case n == 0: // init's end is closed: the pidfd tells the rest
		_ = r.closeCtl()
		return
	}
	files := receivedFiles(oob[:oobn])
	rep, err := prog.ParseReport(buf[:n])
	switch {
	case err != nil:
		r.end.err = err
	case rep.Ready && len(files) == len(r.plan.sent) && r.procDir == nil:
		// In the order of the slots, which is that of their creation.
		r.ready(files)
		files = nil
	case rep.Listener:
		r.end.err = r.listener.take(files)
	case rep.Exit != nil:
		r.exit = rep.Exit
	}
	for _, f := range files {
		f.Close()
	}
}

// ready takes what came with the Ready message, and begins to watch.
func (r *run) ready(files []*os.File) {
	for i, f := range files {
		r.undo.add(f.Close)
		switch r.plan.sent[i].role {
		case roleUpper:
			r.upper = f
			r.areas = append(r.areas, f)
		case roleProc:
			r.procDir = f
			r.shown.Store(f)
		case roleArea:
			r.areas = append(r.areas, f)
		case roleSysV:
			r.sysvShm = f
		}
	}
	if !r.waiting {
		r.watch, r.disk = newWatch(r), newDisk(r)
	}
}

func receivedFiles(oob []byte) []*os.File {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "from init"))
		}
	}
	return files
}

// initEnded is called when init is dead. Its last message may still wait.
func (r *run) initEnded() {
	for r.ctl >= 0 && r.exit == nil && r.end.err == nil {
		r.receive()
	}
	r.initGone = true
	if r.exit == nil && r.end.ours {
		r.exit = r.proc.MainExit() // we did not let it report
	}
}

// clock fires what is due.
func (r *run) clock() {
	now := limits.Now()
	if r.over() {
		r.drain(now)
		return
	}
	l := &r.plan.limits
	if r.ctx.Err() != nil {
		r.fire(firing{by: byCancel, at: now, detail: context.Cause(r.ctx)}, true)
	}
	if l.Wall > 0 && now >= r.deadline() {
		r.fire(firing{by: byWall, at: now}, true)
	}
	if l.Output > 0 && r.written.Load() > int64(l.Output) && !l.TruncateOutput {
		r.fire(firing{by: byOutput, at: now, value: r.written.Load()}, false)
	}
	if r.watch != nil {
		r.watch.tick(now)
	}
	if r.disk != nil {
		r.disk.tick(now)
	}
	e := &r.end
	if e.grace > 0 && now >= e.grace {
		r.kill()
	}
	r.spareServers(now)
	ended := r.proc.Ended()
	lingers := ended > 0 && now-ended > lingerPatience && !e.ours
	if e.force > 0 && now >= e.force || lingers {
		r.force()
	}
}

// drain gives up output that its reader does not take, so that a caller who
// cancels is not held by it. Without a cancel the reader has all time, as in
// os/exec.
func (r *run) drain(now time.Duration) {
	e := &r.end
	switch {
	case r.ctx.Err() == nil:
	case e.drain == 0:
		e.drain = now + drainPatience
	case now >= e.drain:
		for _, s := range r.streams {
			s.abandon()
		}
	}
}

func (r *run) deadline() time.Duration { return r.proc.Stamp(stampGo) + r.plan.limits.Wall }

// nextDeadline returns the next time at which clock has something to do, or 0.
func (r *run) nextDeadline() time.Duration {
	if r.over() {
		return r.end.drain
	}
	next := limits.Now() + lingerCheck
	at := func(t time.Duration) {
		if t > 0 && t < next {
			next = t
		}
	}
	if r.plan.limits.Wall > 0 && !r.firedBy(byWall) {
		at(r.deadline())
	}
	at(r.end.grace)
	at(r.end.force)
	if r.servers != nil && r.end.killing && !r.servers[0].killed {
		at(r.end.force - killPatience + serverPatience)
	}
	if r.disk != nil {
		at(r.disk.next)
	}
	if r.watch != nil {
		at(r.watch.next)
	}
	return next
}

func (r *run) firedBy(by watcher) bool {
	for _, f := range r.end.fired {
		if f.by == by {
			return true
		}
	}
	return false
}
