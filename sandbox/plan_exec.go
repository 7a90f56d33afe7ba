package sandbox

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// jobIO are the slots of the job's standard streams.
type jobIO struct{ in, out, err prog.Slot }

func (io jobIO) bound() []prog.Slot {
	if io.in == 0 {
		return []prog.Slot{io.out, io.err}
	}
	return []prog.Slot{io.in, io.out, io.err}
}

func (pl *Plan) ioSlots() jobIO {
	var io jobIO
	if !pl.stdinNull {
		io.in = pl.Program.Slot("stdin")
	}
	io.out, io.err = pl.Program.Slot("stdout"), pl.Program.Slot("stderr")
	return io
}

// appendExec adds the job's last steps.
func (pl *Plan) appendExec(s *Spec, io jobIO) error {
	p := pl.Program
	add := func(steps ...prog.Step) { p.AddJob(prog.StageExec, steps...) }
	release, err := pl.release(s)
	if err != nil {
		return err
	}
	in := io.in
	if in == 0 {
		in = p.Slot("null")
		add(openNull(in))
	}
	fds := pl.appendStreams(in, io)
	add(passGate(), prog.KeepOnly(pl.keptForExec(fds)...),
		prog.Chdir(pl.workdir(s)).Because("with no directory open: a link of the root's to /proc/self/fd would lead to it (CVE-2024-21626)"))
	add(release...)
	return nil
}

func openNull(s prog.Slot) prog.Step { return prog.Open("/dev/null", unix.O_RDONLY, "O_RDONLY", 0, s) }

// passGate lets the job wait for init.
func passGate() prog.Step {
	return prog.Call("read", unix.SYS_READ, prog.Fd(prog.SlotGate), prog.Data(make([]byte, 8), "gate"), prog.Int(8)).Want(8).
		Because("init has given up its own rights")
}

// appendStreams puts the job's streams where they belong.
func (pl *Plan) appendStreams(in prog.Slot, io jobIO) [3]prog.Slot {
	p := pl.Program
	fds := [3]prog.Slot{p.Slot("0"), p.Slot("1"), p.Slot("2")}
	for i, from := range [3]prog.Slot{in, io.out, io.err} {
		p.AddJob(prog.StageExec, prog.Dup(from, i, 0, "0").Save(fds[i]))
	}
	return fds
}

// keptForExec are the descriptors that a job holds when its filter is loaded.
func (pl *Plan) keptForExec(fds [3]prog.Slot) []prog.Slot {
	kept := append(fds[:], prog.SlotStatus)
	if pl.filters.listen {
		kept = append(kept, prog.SlotCtl)
	}
	return kept
}

// release returns the steps in which the job becomes its program. The wall
// that they are is in the plan once, however often they are asked for.
func (pl *Plan) release(s *Spec) ([]prog.Step, error) {
	argv, paths, err := s.command(pl)
	if err != nil {
		return nil, err
	}
	steps := append([]prog.Step{prog.Stamp(stampGo)}, pl.loadFilters(s)...)
	env := s.environment()
	if pl.runtime = s.fitRuntime(&pl.limits); pl.runtime != nil {
		env = append(slices.Clone(env), pl.runtime.Env...)
	}
	for i, path := range paths {
		step := prog.Call("execve", unix.SYS_EXECVE, prog.Str(path), prog.Strings(argv, ""), prog.Strings(env, envText(env)))
		if i < len(paths)-1 {
			step = step.Search()
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// lateSlots are what the last steps of a prepared job need.
type lateSlots struct {
	in   prog.Slot // its stdin pipe
	gate prog.Slot // its end of a socket pair: it tells when it waits, and is let go
}

// lateRoom is what the last steps of a prepared job may take: arguments and
// environment above all. What does not fit is launched without the pool.
const lateRoom = 128 << 10

// appendWait ends a job's list that is carried out ahead of the job. All
// rights are gone by now; what is still to come is in late.
func (pl *Plan) appendWait(io jobIO) {
	p := pl.Program
	p.Room = lateRoom
	add := func(steps ...prog.Step) { p.AddJob(prog.StageExec, steps...) }
	null := p.Slot("null")
	add(openNull(null))
	fds := pl.appendStreams(null, io)
	add(
		passGate(),
		prog.KeepOnly(append(pl.keptForExec(fds), io.in, pl.late.gate)...),
		prog.Write(pl.late.gate, []byte{1}, "1").Because("the sandbox is ready"),
		prog.Await(pl.late.gate),
	)
}

// forJob turns the plan of a prepared sandbox into that of the job which it is
// for, and returns the steps that were missing. The prepared plan stays as it
// is.
func (pl *Plan) forJob(s *Spec, f *facts, stdin bool) (*Plan, []prog.Step, error) {
	own := *pl
	own.limits, own.notes = resolveLimits(s, pl.held, f.ram)
	own.notes = append(own.notes, pl.notes[pl.lateNotes:]...)
	own.walls = append([]Wall(nil), pl.walls...)
	own.stdinNull = !stdin
	var last prog.Program
	add := func(steps ...prog.Step) { last.AddJob(prog.StageExec, steps...) }
	if s.Limits.CPUTime > 0 {
		rl, _, err := limits.Rlimits(limits.RlimitSpec{CPUTime: s.Limits.CPUTime}, f.hard)
		if err != nil {
			return nil, nil, err
		}
		add(prog.SetLimit(unix.RLIMIT_CPU, rlimitNames[unix.RLIMIT_CPU], rl[unix.RLIMIT_CPU]))
	}
	if stdin {
		add(prog.Dup(pl.late.in, 0, 0, "0"))
	}
	add(prog.Chdir(own.workdir(s)))
	release, err := own.release(s)
	if err != nil {
		return nil, nil, err
	}
	add(release...)
	program := *pl.Program
	program.Job = append(slices.Clip(program.Job), last.Job...)
	own.Program = &program
	return &own, last.Job, nil
}

// envText prints an environment without its values.
func envText(env []string) string {
	names := make([]string, len(env))
	for i, kv := range env {
		names[i], _, _ = strings.Cut(kv, "=")
	}
	return "[" + strings.Join(names, "=… ") + "=…]"
}
