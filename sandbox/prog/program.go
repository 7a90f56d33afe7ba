package prog

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A Program is a launch as two lists of steps. The zero value is empty and
// ready to be appended to. It is not safe for concurrent use while it is being
// built; a finished one may be started from several goroutines.
type Program struct {
	Flags     uint64 // namespaces of init, CLONE_NEW…
	FlagsText string // how Flags print
	Init      []Step
	Job       []Step
	Room      int // bytes kept free for Process.Give

	names []string // of the slots from slotFirstFree on
	past  [2]int   // so many steps of Init and of Job were forgotten
}

// Slot reserves a slot under a name, which the plan prints.
func (p *Program) Slot(name string) Slot {
	p.names = append(p.names, name)
	return slotFirstFree + Slot(len(p.names)-1)
}

// Full reports whether more slots were reserved than there are.
func (p *Program) Full() bool { return int(slotFirstFree)+len(p.names) > maxSlots }

// AddInit appends steps of one stage to init's list.
func (p *Program) AddInit(stage Stage, steps ...Step) { p.Init = add(p.Init, stage, steps) }

// AddJob appends steps of one stage to the job's list.
func (p *Program) AddJob(stage Stage, steps ...Step) { p.Job = add(p.Job, stage, steps) }

func add(list []Step, stage Stage, steps []Step) []Step {
	for i := range steps {
		steps[i].Stage = stage
	}
	return append(list, steps...)
}

// Step returns the step a [Failure] names, or false if there is none.
func (p *Program) Step(f Failure) (Step, bool) {
	list, i := p.Init, f.Index-p.past[0]
	if f.InJob {
		list, i = p.Job, f.Index-p.past[1]
	}
	if i < 0 || i >= len(list) {
		return Step{}, false
	}
	return list[i], true
}

// Forget returns the program without the steps that can no longer fail when
// init has sent its Ready message and the job waits for late steps: nine of ten,
// and with them most of the memory of a sandbox that waits. What is left keeps
// its numbers, for [Program.Step] and [Process.Give].
func (p *Program) Forget() *Program {
	q := *p
	q.Init, q.past[0] = since(p.Init, opSendFds, p.past[0])
	q.Job, q.past[1] = since(p.Job, opAwait, p.past[1])
	return &q
}

// since returns the steps from the first of that kind on, and how many are
// gone; without one it returns them all.
func since(list []Step, nr uintptr, past int) ([]Step, int) {
	i := max(0, slices.IndexFunc(list, func(s Step) bool { return s.nr == nr }))
	return slices.Clone(list[i:]), past + i
}

var fixedNames = [slotFirstFree]string{"status", "ctl", "signals", "gate", "main", "init-group", "job-group"}

func (p *Program) slotName(s Slot) string {
	if s < slotFirstFree {
		return fixedNames[s]
	}
	if i := int(s - slotFirstFree); i < len(p.names) {
		return p.names[i]
	}
	return "slot" + strconv.Itoa(int(s))
}

// Print writes the program, a step a line. It is deterministic: descriptors
// appear by name. secrets also shows
// the lists that print as a text of their own.
func (p *Program) Print(w io.Writer, secrets bool) error {
	var b strings.Builder
	b.WriteString("runner\n  clone\n      clone3(" + p.FlagsText + ")\n")
	for _, l := range []struct {
		title string
		steps []Step
	}{{"init (pid 1)", p.Init}, {"job (pid 2)", p.Job}} {
		b.WriteString(l.title + "\n")
		last := nStages
		for i := range l.steps {
			s := &l.steps[i]
			if s.Stage != last {
				last = s.Stage
				b.WriteString("  " + last.String() + "\n")
			}
			fmt.Fprintf(&b, "%5d %s\n", i, p.Text(*s, secrets))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Text renders one step, as in Print.
func (p *Program) Text(s Step, secrets bool) string {
	var b strings.Builder
	if s.saves {
		b.WriteString(p.slotName(s.save) + " = ")
	}
	b.WriteString(s.Name + "(")
	args := s.Args
	if s.nr == opKeepOnly || s.nr == opSendFds || s.nr == opSendListener || s.nr == opReceiveFds {
		args = args[1:] // the mask; the slots themselves follow it
	}
	for i, a := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		if s.loopArg == i {
			b.WriteString(p.argText(a, secrets) + ".." + strconv.FormatUint(s.loopTo, 10))
			continue
		}
		b.WriteString(p.argText(a, secrets))
	}
	b.WriteString(")")
	if s.Note != "" {
		b.WriteString("  # " + s.Note)
	}
	return b.String()
}

func (p *Program) argText(a Arg, secrets bool) string {
	switch a.kind {
	case argSlot:
		return p.slotName(Slot(a.n))
	case argOctal:
		return "0" + strconv.FormatUint(a.n, 8)
	case argStrings:
		if secrets || a.text == "" {
			return quoteList(a.list)
		}
	case argString:
		return quote(a.str)
	}
	if a.text != "" {
		return a.text
	}
	return strconv.FormatInt(int64(a.n), 10)
}

func quoteList(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = quote(s)
	}
	return "[" + strings.Join(q, ", ") + "]"
}

// quote keeps a plan readable and safe to print whatever a name holds.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// SlotNamed returns the slot reserved under name, or panics: a name unknown to
// the program is a bug of the caller.
func (p *Program) SlotNamed(name string) Slot {
	for i, n := range p.names {
		if n == name {
			return slotFirstFree + Slot(i)
		}
	}
	panic("prog: no slot " + name)
}
