package sandbox

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// Signal sends sig to the job's main process. Any goroutine may call it at any
// time; before Start has returned and after Wait has, it is an error.
func (c *Cmd) Signal(sig unix.Signal) error {
	r := c.live.Load()
	if r == nil {
		return wrap("signal", errNotRunning)
	}
	if sig == unix.SIGKILL {
		r.letGo() // its end is that of all
	}
	return r.order(prog.MainPid, sig)
}

// Suspend makes every process of the job stand still, or go on: by its group,
// which it does not notice, or where there is none by SIGSTOP and SIGCONT. Any
// goroutine may call it at any time; before Start has returned and after Wait
// has, it is an error. The clocks of the limits go on.
func (c *Cmd) Suspend(on bool) error {
	r := c.live.Load()
	if r == nil {
		return wrap("signal", errNotRunning)
	}
	return r.suspend(on)
}

var errNotRunning = errors.New("sandbox: not running")

// A hold is what makes the job stand still: its share, in the loop, or Suspend,
// in any goroutine. The lock also guards run.ctl and run.group, which the loop
// alone changes.
type hold struct {
	sync.Mutex
	suspended bool // by Suspend; the share then leaves the job alone
	throttled bool // by the share, which alone lets it go on
	over      bool // the job is being killed and must not stand still
}

// suspend is Cmd.Suspend.
func (r *run) suspend(on bool) error {
	r.hold.Lock()
	defer r.hold.Unlock()
	if r.hold.over {
		return nil
	}
	r.hold.suspended = on
	switch {
	case r.hold.throttled:
		return nil
	case r.group != nil:
		return r.group.Freeze(on)
	case on:
		return r.send(-1, unix.SIGSTOP)
	}
	return r.send(-1, unix.SIGCONT)
}

func (r *run) suspended() bool {
	r.hold.Lock()
	defer r.hold.Unlock()
	return r.hold.suspended
}

// letGo thaws the job for its end, for good: a frozen process dies, but only
// its thaw is reported. SIGKILL itself reaches stopped ones.
func (r *run) letGo() {
	r.hold.Lock()
	defer r.hold.Unlock()
	r.hold.over, r.hold.suspended = true, false
	if r.group != nil {
		_ = r.group.Freeze(false)
	}
}

func (r *run) closeCtl() error {
	r.hold.Lock()
	defer r.hold.Unlock()
	return r.closeFd(&r.ctl)
}

// order tells init to send sig to pid. It fails when init is gone. Any
// goroutine may call it.
func (r *run) order(pid int, sig unix.Signal) error {
	r.hold.Lock()
	defer r.hold.Unlock()
	return r.send(pid, sig)
}

// send is order for those who hold the lock.
func (r *run) send(pid int, sig unix.Signal) error {
	if r.ctl < 0 {
		return os.ErrProcessDone
	}
	b := prog.Signal(pid, sig)
	return os.NewSyscallError("send", unix.Sendto(r.ctl, b[:], unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil))
}
