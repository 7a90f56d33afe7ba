package sandbox

import "golang.org/x/sys/unix"

// KillReady kills the ready sandboxes of a pool as a stranger would.
func KillReady(p *Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.ready {
		_ = unix.PidfdSendSignal(int(r.proc.PidFd.Fd()), unix.SIGKILL, nil, 0)
		_ = poll([]unix.PollFd{{Fd: int32(r.proc.PidFd.Fd()), Events: unix.POLLIN}}, -1)
	}
}

// Idle is what a pool does when nobody has taken a sandbox for a while.
func (p *Pool) Idle() { p.shrink() }

// Target is how many are to be ready.
func (p *Pool) Target() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

// ForgetNests lets go of the kept user namespaces.
func ForgetNests() {
	nests.Lock()
	defer nests.Unlock()
	for _, n := range nests.kept {
		if n.prog != nil {
			_ = n.prog.Close()
		}
	}
	nests.kept = nil
}
