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
	user       *os.File   // the user namespace that it starts in, or nil
	files      []*os.File // its descriptors from 3 on
	// tied: it is killed when the thread ends that starts it, for a helper that
	// does not notice by itself that nobody wants it any more. Go's threads live
	// on, unless a goroutine ends that is locked to one.
	tied bool
}

// program is a fork that enters the user namespace, if there is one, and becomes
// the helper, with the streams as descriptors 0 to 2.
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
	bind := func(f *os.File) prog.Slot {
		s := p.Slot(f.Name())
		binds = append(binds, prog.Binding{Slot: s, Fd: int(f.Fd())})
		kept = append(kept, s)
		return s
	}
	var slots []prog.Slot
	for _, f := range append(streams, c.files...) {
		slots = append(slots, bind(f))
	}
	var enter []prog.Step
	if c.user != nil {
		enter = append(enter, prog.Call("setns", unix.SYS_SETNS, prog.Fd(bind(c.user)), prog.Bits(unix.CLONE_NEWUSER, "CLONE_NEWUSER")))
	}
	if c.tied {
		enter = append(enter, prog.Prctl(unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG", prog.Bits(uint64(unix.SIGKILL), "SIGKILL")),
			prog.Call("getppid", unix.SYS_GETPPID).Want(os.Getpid()).Because("it has ended before"))
	}
	for _, s := range kept {
		add(prog.Call("fcntl", unix.SYS_FCNTL, prog.Fd(s), prog.Bits(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), prog.Int(above)).Save(s))
	}
	add(prog.KeepOnly(kept...))
	for i, s := range slots {
		add(prog.Dup(s, i, 0, "0"))
	}
	add(
		prog.Call("setsid", unix.SYS_SETSID).Because("Ctrl-C at the terminal is for the runner"),
		prog.Chdir("/"),
		prog.Call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, prog.Bits(unix.SIG_SETMASK, "SIG_SETMASK"), prog.Data(make([]byte, 8), "{}"), prog.Nil(), prog.Int(8)).
			Because("the fork blocks all signals"),
	)
	for _, b := range bounds {
		add(prog.SetLimit(b.resource, b.name, *b.own()))
	}
	if os.Geteuid() == 0 {
		add(prog.Unshare(unix.CLONE_NEWNS, "CLONE_NEWNS"),
			prog.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "MS_REC|MS_PRIVATE", "").
				Because("slirp4netns detaches its old root in a copy of ours, and root's copy would take the host's shared mounts along (1.2, sandbox.c)"))
	}
	add(enter...)
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	add(prog.Call("execve", unix.SYS_EXECVE, prog.Str(c.path), prog.Strings(append([]string{c.name}, c.args...), ""), prog.Strings(env, "")))
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
