package profile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// label names a rule by its first call.
func (r *ociRule) label() string {
	switch {
	case len(r.Names) > 0:
		return " (" + r.Names[0] + ")"
	case r.Name != "":
		return " (" + r.Name + ")"
	}
	return ""
}

// rule adds one rule to the calls that it names.
func (o *oci) rule(r *ociRule, line int) error {
	names := r.Names
	if r.Name != "" {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return errors.New("names no system call")
	}
	action, err := o.answer(r.Action, r.ErrnoRet, r.Errno)
	if err != nil {
		return err
	}
	applies, err := o.applies(r)
	if err != nil || !applies {
		return err
	}
	clauses, err := comparisons(r.Args, action)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, known := o.host.Number(name); !known {
			if action != Allow && !o.host.Known(name) {
				return fmt.Errorf("refuses %q, which is no system call that is known", name)
			}
			continue
		}
		c := o.rules[name]
		if c == nil {
			c = &ociCall{line: line, reason: r.Comment}
			o.rules[name] = c
			o.order = append(o.order, name)
		}
		if len(r.Args) > 0 {
			c.clauses = append(c.clauses, clauses...)
			continue
		}
		if c.always == nil || stricter(action, c.always.Action) {
			c.always, c.line = &Clause{Action: action}, line
		}
	}
	return nil
}

// stricter says whether a refuses more than b.
func stricter(a, b Action) bool { return b == Allow && a != Allow || b != Kill && a == Kill }

// applies says whether a rule is for this host and a job without capabilities.
func (o *oci) applies(r *ociRule) (bool, error) {
	in, out := &r.Includes, &r.Excludes
	arch := o.host.Arch.Name
	applies := len(in.Caps) == 0 && (len(in.Arches) == 0 || slices.Contains(in.Arches, arch)) && !slices.Contains(out.Arches, arch)
	for _, w := range [...]struct {
		text string
		want bool
	}{{in.MinKernel, true}, {out.MinKernel, false}} {
		if w.text == "" {
			continue
		}
		major, minor, _ := strings.Cut(w.text, ".")
		a, err1 := strconv.Atoi(major)
		b, err2 := strconv.Atoi(minor)
		if err1 != nil || err2 != nil {
			return false, fmt.Errorf("minKernel %q is not MAJOR.MINOR", w.text)
		}
		if newer := slices.Compare(o.host.Kernel[:], []int{a, b}) >= 0; newer != w.want {
			applies = false
		}
	}
	return applies, nil
}

// answer is an action by its OCI name.
func (o *oci) answer(action string, ret *uint, name string) (Action, error) {
	switch action {
	case "SCMP_ACT_ALLOW":
		return Allow, nil
	case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS":
		return Kill, nil // the whole process: with one thread gone, its others would wait for ever
	case "SCMP_ACT_ERRNO":
	case "":
		return 0, errors.New("action is missing")
	default:
		return 0, fmt.Errorf("action %q is not supported; want SCMP_ACT_ALLOW, SCMP_ACT_ERRNO or SCMP_ACT_KILL_PROCESS", action)
	}
	e := syscall.EPERM
	if name != "" {
		n := errnoByName(name)
		if n == 0 || ret != nil && syscall.Errno(*ret) != n {
			return 0, fmt.Errorf("errno %q is not known, or not what errnoRet says", name)
		}
		return Errno(n), nil
	}
	if ret != nil {
		e = syscall.Errno(*ret)
		if *ret == 0 || *ret > 4095 {
			return 0, fmt.Errorf("errnoRet %d would not be an error; want 1 to 4095", *ret)
		}
	}
	return Errno(e), nil
}

// finish makes the rules of a profile of what was collected.
func (o *oci) finish() error {
	byNumber := map[uint32]string{}
	for _, name := range o.order {
		c := o.rules[name]
		number, _ := o.host.Number(name)
		if other, twice := byNumber[number]; twice {
			return &SyntaxError{o.file, c.line, fmt.Sprintf("%s and %s are the same system call", other, name)}
		}
		byNumber[number] = name
		last := Clause{Action: o.p.Unlisted}
		if c.always != nil {
			last = *c.always
		}
		reason := c.reason
		if reason == "" {
			reason = "the profile gives none"
		}
		o.p.Rules = append(o.p.Rules, Rule{
			Name: name, Number: int64(number), Clauses: append(c.clauses, last),
			File: o.file, Line: c.line, Group: "syscalls", Reason: reason,
		})
	}
	if len(o.p.Rules) == 0 {
		return &SyntaxError{o.file, 1, "no system call is named"}
	}
	return nil
}
