package sandbox

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// discard ends a launch or a run that is still there, whatever its state: the
// end of init is the end of every process in its pid namespace.
func (r *run) discard() error {
	if r.exit != nil && r.cmd != nil && r.cmd.LeaveInit && r.group == nil {
		return errors.Join(r.proc.PidFd.Close(), r.proc.Release())
	}
	err := unix.PidfdSendSignal(int(r.proc.PidFd.Fd()), unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		err = os.NewSyscallError("pidfd_send_signal", err) // not waited for: it ends when our end of its socket does
	} else {
		err = r.reapInit()
	}
	return errors.Join(err, r.proc.PidFd.Close(), r.proc.Release())
}

// reapInit waits for init's end. Its mount namespace is gone when this returns.
func (r *run) reapInit() error { return reap(r.proc) }

// reap waits for the end of a process, which may be a child of the spawner's
// that is reaped there.
func reap(p *prog.Process) error {
	fds := []unix.PollFd{{Fd: int32(p.PidFd.Fd()), Events: unix.POLLIN}}
	for fds[0].Revents == 0 {
		if err := poll(fds, -1); err != nil {
			return err
		}
	}
	err := unix.Waitid(unix.P_PIDFD, int(p.PidFd.Fd()), nil, unix.WEXITED|unix.WALL|unix.WNOHANG, nil)
	if err != nil && !errors.Is(err, unix.ECHILD) {
		return os.NewSyscallError("waitid", err)
	}
	return nil
}
