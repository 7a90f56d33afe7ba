package profile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Used is a system call that a program made and that its profile allowed, or
// answered otherwise.
type Used struct {
	Name   string
	Answer string // as Action prints
	// Values are all that argument Arg was, or nil if it is not known or does
	// not matter.
	Arg    int
	Values []uint32
}

// always are the calls that any run may need and one run need not show.
var always = []string{"execve", "exit", "exit_group", "rt_sigreturn", "restart_syscall"}

// Learn writes the smallest profile, a text for Parse, that answers the calls
// used as base did: no other call passes, and none with other telling values.
// Calls that base does not list, or answers as one that is not there, need no
// line. about is a comment on its head, of one line.
func Learn(name, about string, base *Profile, used []Used) (string, error) {
	w := &writer{base: base, used: map[string][]Used{}}
	for _, u := range used {
		w.used[u.Name] = append(w.used[u.Name], u)
	}
	for _, call := range always {
		w.used[call] = append(w.used[call], Used{Name: call, Answer: Allow.String()})
	}
	fmt.Fprintf(&w.out, "# %s\n\nprofile %s\nunlisted %v\nforeign %v\n", about, name, base.Unlisted, base.Foreign)
	var groups []string
	for i := range base.Rules {
		if g := base.Rules[i].Group; !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	for _, g := range groups {
		w.group(g)
	}
	_, err := Parse(name, w.out.String(), nil)
	return w.out.String(), err
}

type writer struct {
	base *Profile
	used map[string][]Used
	out  strings.Builder
}

// group writes what was used of one group, if anything was.
func (w *writer) group(name string) {
	plain := map[Action][]string{}
	var blocks strings.Builder
	reason := ""
	for i := range w.base.Rules {
		r := &w.base.Rules[i]
		used := w.used[r.Name]
		if r.Group != name || len(used) == 0 {
			continue
		}
		if len(r.Clauses) == 1 {
			if a := r.Clauses[0].Action; a != w.base.Unlisted {
				plain[a], reason = append(plain[a], r.text()), r.Reason
			}
			continue
		}
		clauses := r.Clauses
		for _, u := range used {
			if u.Answer == Allow.String() && len(u.Values) > 0 {
				clauses = restrict(clauses, u.Arg, u.Values)
			}
		}
		reason = r.Reason
		one := Rule{Clauses: clauses}
		if len(clauses) == 1 {
			plain[clauses[0].Action] = append(plain[clauses[0].Action], r.text())
			continue
		}
		fmt.Fprintf(&blocks, "args %s\n  %s\n", r.text(), strings.Join(one.Lines(), "\n  "))
	}
	if reason == "" {
		return
	}
	fmt.Fprintf(&w.out, "\ngroup %s\nreason %s\n", name, reason)
	answers := make([]Action, 0, len(plain))
	for a := range plain {
		answers = append(answers, a)
	}
	slices.SortFunc(answers, func(a, b Action) int { return strings.Compare(b.String(), a.String()) })
	for _, a := range answers {
		slices.Sort(plain[a])
		for names := range slices.Chunk(plain[a], 8) {
			fmt.Fprintf(&w.out, "%v %s\n", a, strings.Join(names, " "))
		}
	}
	w.out.WriteString(blocks.String())
}

// text is the name of the call as a text has it.
func (r *Rule) text() string {
	if r.Number < 0 {
		return r.Name
	}
	return r.Name + "=" + strconv.FormatInt(r.Number, 10)
}

// restrict lets clauses allow only the values of one argument.
func restrict(clauses []Clause, arg int, values []uint32) []Clause {
	var rest []Clause
	last := clauses[len(clauses)-1].Action
	for _, c := range clauses {
		if c.Action != Allow {
			if len(c.When) > 0 {
				rest = append(rest, c)
			}
			continue
		}
		in, own := Cond{Arg: arg}, Clause{Action: Allow}
		for _, v := range slices.Sorted(slices.Values(values)) {
			fits := true
			for _, w := range c.When {
				fits = fits && (w.Arg != arg || w.Holds(uint64(v)))
			}
			if fits {
				in.In = append(in.In, Range{v, v})
			}
		}
		if len(in.In) == 0 {
			continue
		}
		own.When = append(own.When, in)
		for _, w := range c.When {
			if w.Arg != arg {
				own.When = append(own.When, w)
			}
		}
		rest = append(rest, own)
	}
	if last == Allow {
		last = Errno(syscall.EPERM)
	}
	return append(rest, Clause{Action: last})
}
