package sandbox

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// A server is a running fuse-overlayfs with its init. It ends with the runner,
// as a job does, and whoever waits for an answer of it then gets ENOTCONN.
type server struct {
	ending  sync.Mutex // collect kills it from a goroutine of its own
	plan    *serverPlan
	nest    *prog.Nest // lives in the job's user namespace, and reaps the server's init
	proc    *prog.Process
	ctl     int
	said    int // read end of what it says
	proc1   *os.File
	sampler *limits.Sampler
	cpu     time.Duration
	ended   bool // its init has said so, or has ended
	killed  bool // by us
}

const (
	opServer = "fuse-overlayfs" // in errors
	// serverStart is how long a server may take until its program runs.
	serverStart = 10 * time.Second
	// serverPatience is how long the job may take to die before its server is
	// killed, too: who waits for an answer that does not come cannot be killed
	// (request_wait_answer in fs/fuse/dev.c), until the connection is gone.
	serverPatience = 500 * time.Millisecond
)

func serverError(err error) *Error {
	e := &Error{Stage: prog.StageRoot.String(), Op: opServer, Err: err}
	errors.As(err, &e.Errno)
	return e
}

// startServers starts what init waits for.
func (r *run) startServers() error {
	for _, sp := range r.plan.servers {
		if err := r.startServer(sp); err != nil {
			return err
		}
	}
	return nil
}

// startServer has fuse-overlayfs answer for what init has mounted. Init waits
// meanwhile.
func (r *run) startServer(sp *serverPlan) error {
	begin := limits.Now()
	parts, err := r.receiveParts(fs.ServedParts)
	if err != nil {
		return serverError(err)
	}
	if parts == nil {
		return errInitGone
	}
	s := &server{plan: sp, ctl: -1, said: -1}
	r.servers = append(r.servers, s)
	r.undo.add(s.stop)
	err = r.launchServer(s, parts)
	for _, f := range parts {
		f.Close()
	}
	if err == nil {
		desk := &prog.Desk{Ctl: r.ctl}
		err = desk.Done()
	}
	if err != nil {
		return serverError(err)
	}
	r.event("root", r.facts.fuse.String()+" runs", limits.Now()-begin)
	return nil
}

// launchServer starts the server with what init sent: its user namespace,
// /dev/fuse, and the writable layer.
func (r *run) launchServer(s *server, parts []*os.File) (err error) {
	sp := s.plan
	p := sp.program
	var theirs []int
	defer func() {
		for _, fd := range theirs {
			_ = unix.Close(fd)
		}
	}()
	status, statusEnd, err := pipe()
	if err != nil {
		return err
	}
	defer unix.Close(status)
	theirs = append(theirs, statusEnd)
	said, saidEnd, err := pipe()
	if err != nil {
		return err
	}
	s.said, theirs = said, append(theirs, saidEnd)
	pair, err := socketpair()
	if err != nil {
		return err
	}
	s.ctl, theirs = pair[0], append(theirs, pair[1])
	// A pipe that nobody empties must not hold it up.
	if err := errors.Join(unix.SetNonblock(said, true), unix.SetNonblock(saidEnd, true)); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	binds := []prog.Binding{
		{Slot: prog.SlotStatus, Fd: statusEnd},
		{Slot: prog.SlotCtl, Fd: pair[1]},
		{Slot: sp.said, Fd: saidEnd},
		{Slot: p.SlotNamed(fs.ServerFuse), Fd: int(parts[1].Fd())},
		{Slot: p.SlotNamed(fs.ServerLayers), Fd: int(parts[2].Fd())},
	}
	if r.group != nil {
		need := max(r.room, uint64(len(r.servers))*serverTasks)
		procs, err := r.group.AddTasks(need - r.room)
		if err != nil {
			return err
		}
		r.room = need // for all attempts
		theirs = append(theirs, procs)
		binds = append(binds, prog.Binding{Slot: sp.procs, Fd: procs})
	}
	if err := r.mapTrees(sp.mapped, &binds); err != nil {
		return err
	}
	if s.nest, err = prog.NewNest(parts[0]); err != nil {
		return err
	}
	if s.proc, err = p.StartIn(s.nest, nil, nil, binds); err != nil {
		return err
	}
	for _, fd := range theirs {
		_ = unix.Close(fd)
	}
	theirs = nil
	return s.awaitExec(status)
}

// awaitExec waits until the program of the server runs.
func (s *server) awaitExec(status int) error {
	fds := []unix.PollFd{{Fd: int32(status), Events: unix.POLLIN}}
	for end := limits.Now() + serverStart; fds[0].Revents == 0; {
		left := end - limits.Now()
		if left <= 0 {
			return fmt.Errorf("has not begun to run for %v", serverStart)
		}
		if err := poll(fds, left); err != nil {
			return err
		}
	}
	var msg [64]byte
	n, err := unix.Read(status, msg[:])
	if err != nil {
		return os.NewSyscallError("read", err)
	}
	if n > 0 {
		f, err := prog.ParseFailure(msg[:n])
		if err != nil {
			return err
		}
		return stepError(s.plan.program, f)
	}
	var buf [16]byte
	var oob [64]byte
	n, oobn, _, _, err := unix.Recvmsg(s.ctl, buf[:], oob[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	files := receivedFiles(oob[:oobn])
	if rep, err := prog.ParseReport(buf[:n]); err != nil || !rep.Ready || len(files) != 1 {
		for _, f := range files {
			f.Close()
		}
		return errors.Join(prog.ErrMessage, err)
	}
	s.proc1 = files[0]
	s.sampler = limits.NewSampler(s.proc1)
	return nil
}

// kill ends the server and its init at once. Requests that wait get an answer:
// the connection's end.
func (s *server) kill() {
	s.ending.Lock()
	defer s.ending.Unlock()
	s.killed = true
	if s.proc != nil {
		_ = unix.PidfdSendSignal(int(s.proc.PidFd.Fd()), unix.SIGKILL, nil, 0) // fails if it is over
	}
}

// stop ends the server and lets go of all of it.
func (s *server) stop() error {
	var err error
	if s.proc != nil {
		s.kill()
		err = reap(s.proc)
		s.ending.Lock()
		err = errors.Join(err, s.proc.PidFd.Close(), s.proc.Release())
		s.proc = nil
		s.ending.Unlock()
	}
	if s.nest != nil {
		err = errors.Join(err, s.nest.Close())
	}
	if s.proc1 != nil {
		s.sampler.Close()
		err = errors.Join(err, s.proc1.Close())
	}
	for _, fd := range [...]*int{&s.ctl, &s.said} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
	return err
}
