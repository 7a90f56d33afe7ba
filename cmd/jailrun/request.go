package main

import (
	"errors"
	"strings"
	"time"

	"github.com/jailrun/jailrun/cmd/internal/sibling"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// A request is what the flags ask for.
type request struct {
	spec     sandbox.Spec
	judge    bool // --preset judge
	clearEnv bool
	// profileFile is a seccomp profile of the user's own, "" for none.
	profileFile string
	env         []string // what is added to the environment, in order

	stdin          string // a file; "" passes ours through, noStdin gives none
	stdout, stderr string // files; "" is ours
	rawOutput      bool

	repeat int // runs; 0 is one
	noise  bool

	net      string   // the driver of --net; "" for none
	netAsked []string // the other flags of the network, as NAME=VALUE
}

// noStdin is no name of a file: a path cannot hold a NUL byte.
const noStdin = "\x00"

// newRequest evaluates the flags. Its errors name the flag, the value and the
// fix.
func newRequest(w *words) (*request, error) {
	r := &request{}
	r.spec.Args = w.args
	rootfs, _ := w.last("rootfs")
	if len(w.args) == 0 && (rootfs == "" || rootfs == "host") || len(w.args) > 0 && w.args[0] == "" {
		return nil, &usageError{text: "no program given", hint: "jailrun [flags] -- CMD [ARG…]; jailrun --help shows examples"}
	}
	for _, name := range [...]string{"show-secrets", "picture"} {
		if w.has(name) && w.command != "plan" {
			return nil, &usageError{text: "--" + name + " is a flag of plan", hint: "jailrun plan --" + name + " … -- " + w.args[0]}
		}
	}
	// A preset is a set of defaults: whatever stands beside it wins, wherever.
	if value, ok := w.last("preset"); ok {
		if err := r.preset(value); err != nil {
			return nil, flagError("preset", err)
		}
	}
	for i, g := range w.flags {
		if g.flag.set == nil || displaced(w.flags[i:]) {
			continue
		}
		if err := g.flag.set(r, g.value); err != nil {
			return nil, flagError(g.flag.name, err)
		}
	}
	return r, r.finish(w)
}

// displaced tells whether a later flag of the same slot replaces the first of
// rest.
func displaced(rest []given) bool {
	own := rest[0].flag.slotName()
	for _, g := range rest[1:] {
		if own != many && g.flag.slotName() == own {
			return true
		}
	}
	return false
}

// preset lays the named defaults under the flags.
func (r *request) preset(name string) error {
	if name != "judge" {
		return oneOf(name, "judge")
	}
	r.judge = true
	r.spec.Map.Mode = "auto"
	r.spec.Seccomp = "judge"
	r.spec.CWD = sandbox.CWDReadOnly
	r.spec.Limits.Pids = 64
	r.spec.Limits.Output = 64 * limits.MiB
	r.spec.Limits.RequireCgroup = true
	return nil
}

// cancelGrace is the --grace of who interrupts jailrun and has not said any.
const cancelGrace = 2 * time.Second

// finish does what depends on more than one flag.
func (r *request) finish(w *words) error {
	l := &r.spec.Limits
	if !w.has("grace") {
		l.CancelGrace = cancelGrace
	}
	if r.judge && l.Rlimits.Stack == nil && l.Memory > 0 {
		l.Rlimits.Stack = &l.Memory
	}
	if err := r.checkRepeat(w); err != nil {
		return err
	}
	switch {
	case w.has("on-output") && l.Output == 0:
		return &usageError{text: "--on-output says what --output does, which is missing", hint: "add --output SIZE"}
	case len(r.netAsked) > 0 && r.net == "":
		flag, _, _ := strings.Cut(r.netAsked[0], "=")
		return &usageError{text: "--" + flag + " is for a network that the job does not have", hint: "add --net slirp"}
	case r.clearEnv:
		r.spec.Env = append([]string{}, r.env...)
	case len(r.env) > 0:
		r.spec.AddEnv = r.env
	}
	return nil
}

func flagError(name string, err error) error {
	if _, ok := errors.AsType[*usageError](err); ok {
		return err
	}
	return &usageError{text: dashed(name) + ": " + err.Error(), err: err}
}

// oneOf refuses a value that is none of the choices.
func oneOf(value string, choices ...string) error {
	text := quote(value) + " is not known; want " + strings.Join(choices, ", ")
	if near := plain.Nearest(value, choices); near != "" {
		text += "; did you mean " + near + "?"
	}
	return errors.New(text)
}

// network returns the network that the flags ask for, or nil for none.
func (r *request) network() sandbox.Network {
	if r.net == "" {
		return nil
	}
	return sibling.NewNetwork(append([]string{"net=" + r.net}, r.netAsked...))
}

// loadProfile reads the user's own profile, if one was asked for.
func (r *request) loadProfile() (err error) {
	if r.profileFile == "" {
		return nil
	}
	if r.spec.Filter, err = sibling.Profile(r.profileFile); err != nil {
		return flagError("seccomp", err)
	}
	return nil
}
