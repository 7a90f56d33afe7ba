package sandbox

import (
	"encoding/json"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// attached is what became of Network.Attach.
type attached struct {
	detach func() (json.RawMessage, error)
	err    error
}

// attachNetwork begins to let the caller's network configure the namespaces of
// init; joinNetwork has to follow. If init has failed, awaitExec says so.
func (r *run) attachNetwork() error {
	n := r.cmd.Network
	if n == nil {
		return nil
	}
	r.attachBegun = limits.Now()
	spaces, err := r.receiveParts(3)
	if err != nil {
		return wrap("net", err)
	}
	if spaces == nil {
		return nil
	}
	attaching := make(chan attached, 1)
	r.attaching = attaching
	go func() {
		detach, err := n.Attach(r.ctx, r.proc.Pid, spaces[0], spaces[1], spaces[2])
		for _, f := range spaces {
			f.Close()
		}
		attaching <- attached{detach, err}
	}()
	if n.UsesInit() {
		return r.joinNetwork()
	}
	return nil
}

// joinNetwork waits until the network is in force, and only then lets init and
// the job go on.
func (r *run) joinNetwork() error {
	if r.attaching == nil {
		return nil
	}
	a := <-r.attaching
	r.attaching = nil
	if a.err != nil && r.ctx.Err() != nil {
		return nil // init waits for ever, until awaitExec has seen to it
	}
	if a.err != nil {
		return wrap("net", a.err)
	}
	r.detach = a.detach
	r.undo.add(func() error { _, err := r.leaveNetwork(); return err })
	r.event("net", "network configured", limits.Now()-r.attachBegun)
	err := r.order(0, 0)
	if err == nil || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return nil // if init is gone, awaitExec says why
	}
	return wrap("net", err)
}

// receiveParts takes a message of init's with so many descriptors, which come
// before its root is made; nil if init failed before.
func (r *run) receiveParts(n int) ([]*os.File, error) {
	fds := []unix.PollFd{{Fd: int32(r.ctl), Events: unix.POLLIN}, {Fd: int32(r.status), Events: unix.POLLIN}}
	for fds[0].Revents == 0 {
		if err := poll(fds, -1); err != nil {
			return nil, err
		}
		if fds[1].Revents != 0 {
			return nil, nil
		}
	}
	var buf [64]byte
	var oob [64]byte
	got, oobn, _, _, err := unix.Recvmsg(r.ctl, buf[:], oob[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, r.vanished(os.NewSyscallError("recvmsg", err))
	}
	files := receivedFiles(oob[:oobn])
	if rep, err := prog.ParseReport(buf[:got]); err != nil || !rep.Ready || len(files) != n {
		for _, f := range files {
			f.Close()
		}
		return nil, r.vanished(errors.Join(err, errParts))
	}
	return files, nil
}

var errParts = errors.New("init did not hand over its namespaces")
