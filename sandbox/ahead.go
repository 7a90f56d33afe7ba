package sandbox

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// forkAhead has init forked while this goroutine goes on to find out what init
// has to do, if this is the first launch of a process. Where it cannot be done
// the launch forks init itself, and says what is in the way.
func (r *run) forkAhead() {
	if !r.cmd.ForkAhead || r.waiting || r.cmd.Pool != nil {
		return
	}
	group := -1
	if r.group != nil {
		group = r.group.InitFD()
	}
	s := &r.cmd.Spec
	p := &prog.Program{Flags: s.namespaces()}
	noSub := func() (uid, gid []idmap.SubRange, err error) { return nil, nil, errNotYet }
	id, err := chooseIdentity(s, &facts{uid: os.Geteuid(), gid: os.Getegid()}, noSub)
	if err == nil && !id.written {
		id.append(p)
	}
	if s.Net != NetHost {
		appendLoopback(p)
	}
	if r.ahead, err = prog.ForkAhead(p, group); err != nil {
		r.event("clone", "init is not forked ahead: "+err.Error(), 0)
	}
}

// appendLoopback brings the loopback device up.
func appendLoopback(p *prog.Program) {
	sock := p.Slot("socket")
	ifreq := make([]byte, 40) // struct ifreq: name, then flags
	copy(ifreq, "lo")
	ifreq[16] = unix.IFF_UP
	p.AddInit(prog.StageNet,
		prog.Call("socket", unix.SYS_SOCKET, prog.Bits(unix.AF_INET, "AF_INET"), prog.Bits(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, "SOCK_DGRAM|SOCK_CLOEXEC"), prog.Int(0)).Save(sock).Ahead().
			Because("jailrun does this before the rest is known"),
		prog.Call("ioctl", unix.SYS_IOCTL, prog.Fd(sock), prog.Bits(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"), prog.Data(ifreq, "lo: IFF_UP")).Ahead(),
		prog.Close(sock).Ahead(),
	)
}

var errNotYet = errors.New("the subordinate ids are not read yet")

// startInit starts the plan's program in the init that was forked ahead, or in
// one of its own.
func (r *run) startInit(binds []prog.Binding) (err error) {
	p := r.plan.Program
	if a := r.ahead; a != nil {
		if r.proc, err = a.Start(p, binds); err == nil {
			r.ahead = nil
			return nil
		}
		if err := errors.Join(err, r.closeAhead()); !errors.Is(err, prog.ErrAhead) {
			return err
		}
	}
	r.proc, err = p.Start(binds)
	return err
}

// lostAhead reports whether an attempt has failed because of what init did ahead.
// An ordinary launch does the same, and says what went wrong.
func (r *run) lostAhead() bool {
	return r.proc != nil && !r.proc.Took() && r.ctx.Err() == nil
}

// closeAhead ends an init that was forked ahead and has no program.
func (r *run) closeAhead() error {
	a := r.ahead
	r.ahead = nil
	if a == nil {
		return nil
	}
	return a.Close()
}
