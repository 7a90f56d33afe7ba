package sandbox

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// An ending is how far the end of a run has come.
type ending struct {
	fired   []firing      // watchers, in the order in which they fired
	grace   time.Duration // when SIGTERM becomes SIGKILL; 0 for none pending
	force   time.Duration // when init itself is killed; 0 for none pending
	drain   time.Duration // when output that nobody takes is given up; 0 for none pending
	killing bool
	ours    bool // we killed init
	err     error
}

// killPatience is how long init may take to end the job before it is killed
// itself, which the kernel answers by killing all in its pid namespace.
// On a busy machine a job of low priority takes a second to die.
const killPatience = 3 * time.Second

// lingerPatience is how long what the main process left behind may take to
// die before init is killed. Init has no clock of its own; the loop looks at
// its notes every lingerCheck.
const (
	lingerPatience = 5 * time.Second
	lingerCheck    = time.Second
)

// drainPatience is how long a caller who has canceled still has to take the
// last output of a job that is over.
const drainPatience = 500 * time.Millisecond

// fire ends the job for a reason; later reasons are kept as well, the first
// one decides. Only some reasons allow the job its grace; a later one can only
// make it shorter.
func (r *run) fire(f firing, graceful bool) {
	if r.firedBy(f.by) {
		return
	}
	first := len(r.end.fired) == 0
	grace := r.plan.limits.Grace
	if f.by == byCancel && r.plan.limits.CancelGrace > 0 {
		grace = r.plan.limits.CancelGrace
	}
	f.graced = first && graceful && grace > 0
	r.end.fired = append(r.end.fired, f)
	switch {
	case !graceful || grace == 0:
		r.kill()
	case !first:
		r.end.grace = min(r.end.grace, limits.Now()+grace) // 0 once it is being killed
	default:
		r.event("run", "asking the job to end: "+f.by.String(), 0)
		if r.order(prog.MainPid, unix.SIGTERM) != nil {
			r.kill()
			return
		}
		r.end.grace = limits.Now() + grace
	}
}

// kill ends every process of the job and leaves init, so that their end and
// their CPU time are reported. A group is told first: init shares the job's
// cpu.max, and would come to it up to a period late.
func (r *run) kill() {
	r.end.grace = 0
	if r.end.killing {
		return
	}
	r.end.killing = true
	r.event("run", "killing the job", 0)
	r.letGo()
	if r.group != nil {
		_ = r.group.KillJob() // if it cannot, init can
	}
	_ = r.order(-1, unix.SIGKILL) // kill(-1) is atomic to forks; if init cannot, force does
	r.end.force = limits.Now() + killPatience
}

// force ends init, and so the kernel ends the job, without a report.
func (r *run) force() {
	r.end.force, r.end.ours = 0, true
	r.event("run", "init does not come to an end; killing it", 0)
	r.letGo()
	r.killServers() // what waits for it cannot be killed
	_ = unix.PidfdSendSignal(int(r.proc.PidFd.Fd()), unix.SIGKILL, nil, 0)
	if r.group != nil {
		_ = r.group.Kill()
	}
}
