package netslirp

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// bounds are those of one helper. Its group has others; these hold where there
// is none.
var bounds = [...]bound{
	{unix.RLIMIT_DATA, "RLIMIT_DATA", 256 << 20}, // libslirp's buffers grow with the connections
	{unix.RLIMIT_CORE, "RLIMIT_CORE", 0},
	{unix.RLIMIT_NOFILE, "RLIMIT_NOFILE", 1024}, // each connection takes one
}

type bound struct {
	resource int
	name     string
	max      uint64
}

// own is the bound, or the lower one that this process has.
func (b *bound) own() *unix.Rlimit {
	n := b.max
	var own unix.Rlimit
	if unix.Getrlimit(b.resource, &own) == nil {
		n = min(n, own.Max)
	}
	return &unix.Rlimit{Cur: n, Max: n}
}

// above is a number above those that a helper gets, so that none of them lies
// where another is to be.
const above = 64

// A command is what start starts.
type command struct {
	name, path string
	args       []string
	group      *os.File   // the cgroup that it starts in, or nil
	files      []*os.File // its descriptors from 3 on
	// spaces, if it is not nil, is an end of a socket pair: the helper waits there
	// for the network namespace and the user namespace, its next two descriptors,
	// and becomes itself in that user namespace, unless asRoot. Nobody has to wait
	// for its fork then. It ends when the other end does.
	spaces *os.File
	asRoot bool
	// tied: it is killed when the thread ends that starts it, for a helper that
	// does not notice by itself that nobody wants it any more. Go's threads live
	// on, unless a goroutine ends that is locked to one.
	tied bool
}

// program is a fork that becomes the helper, with the streams as descriptors 0
// to 2. One that waits keeps nothing of our memory.
//
// Decision: package prog forks, not os/exec. A program with threads cannot enter
// a user namespace, and os/exec has no such step: nsenter(1) between the two took
// 0.8 ms of the start, and the child by which package os first learns whether
// this kernel has pidfds 0.3. A fork costs 17 µs for each megabyte of a program
// that has the network in process.
func (c *command) program(streams ...*os.File) (*prog.Program, []prog.Binding) {
	p := &prog.Program{}
	add := func(steps ...prog.Step) { p.AddInit(prog.StageExec, steps...) }
	var binds []prog.Binding
	kept := []prog.Slot{prog.SlotStatus}
	var fds []prog.Slot
	for _, f := range append(streams, c.files...) {
		s := p.Slot(f.Name())
		binds = append(binds, prog.Binding{Slot: s, Fd: int(f.Fd())})
		fds = append(fds, s)
	}
	kept = append(kept, fds...)
	if c.spaces != nil {
		binds = append(binds, prog.Binding{Slot: prog.SlotCtl, Fd: int(c.spaces.Fd())})
		kept = append(kept, prog.SlotCtl)
	}
	moveUp := func(slots ...prog.Slot) {
		for _, s := range slots {
			add(prog.Call("fcntl", unix.SYS_FCNTL, prog.Fd(s), prog.Bits(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), prog.Int(above)).Save(s))
		}
	}
	moveUp(kept...)
	add(
		prog.KeepOnly(kept...),
		prog.Call("setsid", unix.SYS_SETSID).Because("Ctrl-C at the terminal is for the runner"),
		prog.Chdir("/"),
	)
	for _, b := range bounds {
		add(prog.SetLimit(b.resource, b.name, *b.own()))
	}
	if os.Geteuid() == 0 {
		add(prog.Unshare(unix.CLONE_NEWNS, "CLONE_NEWNS"),
			prog.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "MS_REC|MS_PRIVATE", "").
				Because("slirp4netns detaches its old root in a copy of ours, and root's copy would take the host's shared mounts along (1.2, sandbox.c)"))
	}
	if c.tied {
		add(prog.Prctl(unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG", prog.Bits(uint64(unix.SIGKILL), "SIGKILL")),
			prog.Call("getppid", unix.SYS_GETPPID).Want(os.Getpid()).Because("it has ended before"))
	}
	if c.spaces != nil {
		net, user := p.Slot("net-ns"), p.Slot("user-ns")
		add(prog.Scrub(), prog.ReceiveFds(net, user))
		moveUp(net, user)
		fds = append(fds, net, user)
		if !c.asRoot {
			add(prog.Call("setns", unix.SYS_SETNS, prog.Fd(user), prog.Bits(unix.CLONE_NEWUSER, "CLONE_NEWUSER")))
		}
	}
	for i, s := range fds {
		add(prog.Dup(s, i, 0, "0"))
	}
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	add(
		prog.Call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, prog.Bits(unix.SIG_SETMASK, "SIG_SETMASK"), prog.Data(make([]byte, 8), "{}"), prog.Nil(), prog.Int(8)).
			Because("the fork blocks all signals: it has our handlers"),
		prog.Call("execve", unix.SYS_EXECVE, prog.Str(c.path), prog.Strings(append([]string{c.name}, c.args...), ""), prog.Strings(env, "")),
	)
	return p, binds
}

// launchError turns the message of a failed step into an error.
func launchError(p *prog.Program, msg []byte) error {
	f, err := prog.ParseFailure(msg)
	if err != nil {
		return err
	}
	s, ok := p.Step(f)
	if !ok {
		return errors.Join(prog.ErrMessage, f.Errno)
	}
	return fmt.Errorf("%s: %w", p.Text(s, false), f.Errno)
}
