package sandbox

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/plain"
	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// Version is jailrun's own, as results name it; the build sets it.
var Version = "devel"

// Wait waits for the job that Start started, and for its output to be passed
// on; if the job is over and ctx is canceled, at most half a second for a
// writer that takes none. Nothing of the job is left when it returns. The error
// is nil whatever the job did. It is an *[Error] when jailrun failed, and the
// Result's verdict is then error; or one of the stage "output" when a writer of
// the caller's failed, or "collect" when the job exited with 0 and what was to be
// collected could not be; the Result is then that of the job. The Result is
// never nil.
func (c *Cmd) Wait() (*Result, error) {
	r := c.run
	if r == nil || r.proc == nil {
		err := wrap("wait", errNotStarted)
		return c.failed(err), err
	}
	defer c.live.Store(nil)
	err := r.supervise()
	if r.input != nil {
		// Its goroutine may still sit in a reader of the caller's.
		err = errors.Join(err, r.input.stop())
		r.inputFailed()
	}
	var failure *Error
	if err != nil {
		failure = wrap("run", err)
		r.force()
	}
	return r.finish(failure)
}

// inputFailed notes that the job did not get all of its input. A reader that is
// still asked has not failed.
func (r *run) inputFailed() {
	select {
	case <-r.input.ended:
		if err := r.input.failed; err != nil {
			r.notes = append(r.notes, "stdin ended early for the job: "+err.Error())
		}
	default:
	}
}

// finish collects the evidence, undoes what the run made, and decides.
func (r *run) finish(failure *Error) (*Result, error) {
	if failure == nil && !r.end.ours {
		failure = r.serverLost()
	}
	e := r.evidence(failure)
	r.newGit()
	res := r.result(&e)
	var err error
	if res.Network, err = r.leaveNetwork(); err != nil {
		res.Notes = append(res.Notes, "what the network counted is lost: "+err.Error())
	}
	if how := networkEnded(res.Network); how != "" {
		res.Notes = append(res.Notes, "the job's network ended before the job: "+plain.Printable(how))
	}
	var lost error
	if failure == nil && e.begun > 0 {
		res.Collected, lost = r.collect()
	}
	if r.pool != nil {
		defer r.pool.end(r) // the run is the pool's from then on
	} else {
		r.release()
	}
	if s := res.Startup; s != nil && e.exit != nil && r.pool == nil {
		s.Teardown = limits.Now() - e.exit.Ended
	}
	if err = errors.Join(r.leftovers...); err != nil && e.failure == nil {
		e.failure = wrap("undo", err)
	}
	r.leftovers = nil
	res.Verdict, res.Cause, res.ExitCode, res.Signal, res.Hint = decide(e)
	if res.Verdict == ErrorVerdict && e.failure == nil {
		e.failure = &Error{Stage: "run", Err: errors.New(res.Cause)}
	}
	switch {
	case e.failure != nil:
		res.Error = e.failure.report(e.begun > 0)
		return res, e.failure
	case e.notRun != nil:
		res.Error = e.notRun.report(false)
		return res, e.notRun
	}
	if res.Verdict != Exited || *res.ExitCode != 0 {
		lost = nil // of a job that failed what is missing is no surprise; the Result tells
	}
	return res, errors.Join(r.outputError(), wrapLost(lost))
}

// wrapLost is the error of files that were wanted and could not be had.
func wrapLost(err error) error {
	if err == nil {
		return nil
	}
	return wrap("collect", err)
}

// outputError is what the caller's first writer to fail said, or nil.
func (r *run) outputError() error {
	for _, s := range r.streams {
		if err := s.failed.Load(); err != nil {
			return wrap("output", *err)
		}
	}
	return nil
}

// failed is the Result of a launch that did not come to run.
func (c *Cmd) failed(err error) *Result {
	r := c.run
	if r == nil || r.proc == nil && r.plan == nil {
		r = &run{cmd: c}
	}
	var e *Error
	if !errors.As(err, &e) {
		e = func() *Error {
			target := &Error{}
			_ = errors.As(bug(err), &target)
			return target
		}()
	}
	ev := evidence{fired: r.end.fired}
	if e.Stage == "exec" && (r.plan == nil || e.Op == "execve") {
		ev.notRun = e
	} else {
		ev.failure = e
	}
	if r.canceled() {
		ev.failure, ev.notRun = nil, nil
	}
	res := r.result(&ev)
	res.Verdict, res.Cause, res.ExitCode, res.Signal, res.Hint = decide(ev)
	if ev.failure != nil || ev.notRun != nil {
		res.Error = e.report(false)
	}
	return res
}

func (r *run) canceled() bool { return r.firedBy(byCancel) }

// evidence gathers what the verdict rests on. The group must still be there.
func (r *run) evidence(failure *Error) evidence {
	if r.watch != nil {
		r.watch.afterwards()
	}
	e := evidence{
		failure: failure, begun: r.proc.Stamp(stampGo), exit: r.exit, initKilled: r.end.ours,
		fired: r.end.fired, limits: r.plan.limits, killsCalls: !r.plan.filters.listen && seccomp.Kills(r.plan.filters.meant), output: r.written.Load(),
		denied: r.listener.report(), profile: r.cmd.profile(),
	}
	if r.group != nil {
		// All of the job is dead, but init may still be ending.
		usage, err := r.group.Usage()
		e.usage = usage
		if err == nil {
			err = r.group.Verify()
		}
		e.group = err
		if usage.Memory.OOMKills.Value > 0 {
			e.victim.Value, e.victim.Known = r.group.OOMVictim()
		}
		e.cpu = usage.CPU.Total
	}
	if !e.cpu.Known {
		e.cpu = limits.Opt[time.Duration]{Value: r.cpuWithoutGroup(), Known: r.exit != nil || r.watch != nil}
	}
	if e.exit == nil {
		e.initStatus, _, _ = r.initStatus(-1) // without it the verdict has less to say
	}
	if r.watch != nil {
		e.hostOOMs = r.watch.hostOOMs()
	}
	if r.disk != nil {
		r.disk.look()
		e.diskFull = r.disk.hits > 0
	}
	e.runtime = runtimeOf(r.argv()[0])
	if rep := r.plan.runtime; rep != nil && e.runtime == nil && r.cmd.Runtime != "auto" {
		e.runtime = runtimeNamed(rep.Name)
	}
	return e
}

// initStatus waits so long for the end of init, below 0 for ever, and tells how
// it ended: nil if its parent is a spawner, which has reaped it.
func (r *run) initStatus(patience time.Duration) (ws *unix.WaitStatus, ended bool, err error) {
	fds := []unix.PollFd{{Fd: int32(r.proc.PidFd.Fd()), Events: unix.POLLIN}}
	for until := limits.Now() + patience; fds[0].Revents == 0; {
		left := until - limits.Now()
		if patience < 0 {
			left = -1
		} else if left <= 0 {
			return nil, false, nil
		}
		if err := poll(fds, left); err != nil {
			return nil, false, err
		}
	}
	ws = new(unix.WaitStatus)
	if pid, err := unix.Wait4(r.proc.Pid, ws, unix.WALL|unix.WNOHANG, nil); err != nil || pid != r.proc.Pid {
		ws = nil
	}
	return ws, true, nil
}

// cpuWithoutGroup is the CPU time as init and the watchdog measured it. Init
// knows all that was reaped, the watchdog also what nobody reaped.
func (r *run) cpuWithoutGroup() time.Duration {
	var total time.Duration
	if r.exit != nil {
		total = cpuTime(&r.exit.All)
	}
	if r.watch != nil {
		total = max(total, r.watch.cpu)
	}
	return total
}

func cpuTime(ru *unix.Rusage) time.Duration {
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// countWrites counts the entries that a copied current directory has taken,
// since a time if that is set, up to a bound: it is for one line on the
// terminal.
func countWrites(upper *os.File, since time.Time, bound int) int {
	n := 0
	var walk func(dir *os.File, depth int)
	walk = func(dir *os.File, depth int) {
		for n < bound && depth < 64 {
			list, err := dir.ReadDir(256)
			for _, x := range list {
				if since.IsZero() || changedAfter(dir, x.Name(), since) {
					n++
				}
				if !x.IsDir() || n >= bound {
					continue
				}
				fd, err := unix.Openat(int(dir.Fd()), x.Name(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
				if err != nil {
					continue
				}
				sub := os.NewFile(uintptr(fd), x.Name())
				walk(sub, depth+1)
				sub.Close()
			}
			if err != nil || len(list) == 0 {
				return
			}
		}
	}
	walk(upper, 0)
	return n
}

// changedAfter is not exact: the clock of a file system has ticks of some ms.
func changedAfter(dir *os.File, name string, since time.Time) bool {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err != nil || time.Unix(st.Ctim.Unix()).After(since)
}
