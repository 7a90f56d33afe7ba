package netslirp

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// Bounds of one helper. Its group has others; these hold where there is none.
const (
	helperData  = 256 << 20 // RLIMIT_DATA: libslirp's buffers grow with the connections
	helperFiles = 1024      // RLIMIT_NOFILE: each connection takes one
)

// above is a number above those that a helper gets, so that none of them lies
// where another is to be.
const above = 64

// launch is the program of a helper's start: a fork that enters the user
// namespace, if there is one, and becomes the helper, with the files as its
// descriptors from 0 on.
//
// Decision: package prog forks, not os/exec. A program with threads cannot enter
// a user namespace, and os/exec has no such step: nsenter(1) between the two took
// 0.8 ms of the start, and the child by which package os first learns whether
// this kernel has pidfds 0.3.
func launch(path string, argv []string, user *os.File, files []*os.File) (*prog.Program, []prog.Binding) {
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
	slots := make([]prog.Slot, len(files))
	for i, f := range files {
		slots[i] = bind(f)
	}
	var enter []prog.Step
	if user != nil {
		enter = append(enter, prog.Call("setns", unix.SYS_SETNS, prog.Fd(bind(user)), prog.Bits(unix.CLONE_NEWUSER, "CLONE_NEWUSER")))
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
		limit(unix.RLIMIT_DATA, "RLIMIT_DATA", helperData),
		limit(unix.RLIMIT_CORE, "RLIMIT_CORE", 0),
		limit(unix.RLIMIT_NOFILE, "RLIMIT_NOFILE", helperFiles),
		prog.Call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, prog.Bits(unix.SIG_SETMASK, "SIG_SETMASK"), prog.Data(make([]byte, 8), "{}"), prog.Nil(), prog.Int(8)).
			Because("the fork blocks all signals"),
	)
	add(enter...)
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	add(prog.Call("execve", unix.SYS_EXECVE, prog.Str(path), prog.Strings(argv, ""), prog.Strings(env, "")))
	return p, binds
}

// limit bounds a resource, or leaves the lower bound that this process has.
func limit(resource int, name string, n uint64) prog.Step {
	var own unix.Rlimit
	if unix.Getrlimit(resource, &own) == nil {
		n = min(n, own.Max)
	}
	return prog.SetLimit(resource, name, unix.Rlimit{Cur: n, Max: n})
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
