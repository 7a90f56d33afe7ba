package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A Host is what a profile in OCI form may ask about.
type Host struct {
	Arch   Arch
	Kernel [2]int // major, minor
	// Number is the system call of a name here, Known says whether there is one
	// on any processor.
	Number func(name string) (uint32, bool)
	Known  func(name string) bool
}

// ociRule is one entry of "syscalls", in the forms of the OCI runtime
// specification and of Docker.
type ociRule struct {
	Names    []string `json:"names"`
	Name     string   `json:"name"`
	Action   string   `json:"action"`
	ErrnoRet *uint    `json:"errnoRet"`
	Errno    string   `json:"errno"` // Docker's name for it
	Args     []ociArg `json:"args"`
	Comment  string   `json:"comment"`
	Includes ociWhen  `json:"includes"`
	Excludes ociWhen  `json:"excludes"`
}

type ociArg struct {
	Index    uint   `json:"index"`
	Value    uint64 `json:"value"`
	ValueTwo uint64 `json:"valueTwo"`
	Op       string `json:"op"`
}

// ociWhen says where a rule applies. A job has no capability.
type ociWhen struct {
	Caps      []string `json:"caps"`
	Arches    []string `json:"arches"`
	MinKernel string   `json:"minKernel"`
}

// oci is the state between two rules.
type oci struct {
	file, text string
	host       Host
	p          *Profile
	action     string // of unlisted calls
	errno      *uint
	errnoName  string
	rules      map[string]*ociCall
	order      []string
}

// ociCall collects what the rules say of one call.
type ociCall struct {
	clauses []Clause
	always  *Clause
	line    int
	reason  string
}

// ParseOCI reads a profile in the JSON of the OCI runtime specification or of
// Docker. A name that is no system call here is left out; one that is none
// anywhere is a fault where it is to be refused. So is any key, action or
// operator that is not known. Faults are a *SyntaxError.
//
// Rules for capabilities do not apply: a job has none. The first rule that fits
// the arguments decides, then the strictest of those without arguments (podman's
// own profile allows setns in one and refuses it in another), then the default. Of two
// comparisons that the letter of a rule allows for arguments that the kernel
// cuts to 32 bits, the stricter is made: what lets a call pass is compared on
// all 64 bits, what refuses one on the 32 that the kernel reads. Calls through
// another ABI get ENOSYS whatever the profile says of it.
func ParseOCI(file, text string, host Host) (*Profile, error) {
	if len(text) > maxText {
		return nil, &SyntaxError{file, 1, fmt.Sprintf("longer than %d bytes", maxText)}
	}
	o := &oci{file: file, text: text, host: host, rules: map[string]*ociCall{}}
	o.p = &Profile{Name: file, Foreign: Errno(syscall.ENOSYS)}
	if err := o.read(); err != nil {
		return nil, err
	}
	return o.p, o.finish()
}

// lineAt is the line of the first thing at or behind an offset.
func (o *oci) lineAt(offset int64) int {
	at := int(min(offset, int64(len(o.text))))
	rest := strings.TrimLeft(o.text[at:], " \t\r\n,:")
	return 1 + strings.Count(o.text[:len(o.text)-len(rest)], "\n")
}

func (o *oci) fault(offset int64, format string, args ...any) error {
	return &SyntaxError{o.file, o.lineAt(offset), fmt.Sprintf(format, args...)}
}

// read goes over the keys of the outer object.
func (o *oci) read() error {
	dec := json.NewDecoder(strings.NewReader(o.text))
	wrong := func(err error) error {
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			return o.fault(s.Offset, "no JSON: %v", err)
		}
		return o.fault(dec.InputOffset(), "no JSON: %v", err)
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return wrong(cmpErr(err, "want an object"))
	}
	seen := map[string]bool{}
	for dec.More() {
		at := dec.InputOffset()
		token, err := dec.Token()
		key, _ := token.(string)
		if err != nil {
			return wrong(err)
		}
		if seen[key] {
			return o.fault(at, "a second %q", key)
		}
		seen[key] = true
		if key == "syscalls" {
			err = o.readRules(dec)
		} else {
			err = o.readKey(dec, key, at)
		}
		if _, ours := errors.AsType[*SyntaxError](err); ours {
			return err
		} else if err != nil {
			return wrong(err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return wrong(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return o.fault(dec.InputOffset(), "something follows the profile")
	}
	if o.action == "" {
		return &SyntaxError{o.file, 1, "defaultAction is missing"}
	}
	unlisted, err := o.answer(o.action, o.errno, o.errnoName)
	if err != nil {
		return &SyntaxError{o.file, 1, "defaultAction: " + err.Error()}
	}
	if unlisted == Allow {
		return &SyntaxError{o.file, 1, "defaultAction SCMP_ACT_ALLOW lets every call of later kernels pass; refuse by default and name what is allowed"}
	}
	o.p.Unlisted = unlisted
	return nil
}

func cmpErr(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

// readKey reads what is not a rule. What has no meaning here is taken only
// where leaving it out makes nothing weaker.
func (o *oci) readKey(dec *json.Decoder, key string, at int64) error {
	switch key {
	case "defaultAction":
		return dec.Decode(&o.action)
	case "defaultErrnoRet":
		return dec.Decode(&o.errno)
	case "defaultErrno": // podman's form
		return dec.Decode(&o.errnoName)
	case "architectures", "archMap", "flags": // other ABIs are closed; flags ask for logs, or for less protection
		var ignored any
		return dec.Decode(&ignored)
	}
	return o.fault(at, "%q is not supported", key)
}

func (o *oci) readRules(dec *json.Decoder) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return cmpErr(err, "syscalls is a list")
	}
	for n := 1; dec.More(); n++ {
		at := dec.InputOffset()
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		var r ociRule
		strict := json.NewDecoder(bytes.NewReader(raw))
		strict.DisallowUnknownFields()
		err := strict.Decode(&r)
		if err == nil {
			err = o.rule(&r, o.lineAt(at))
		}
		if err != nil {
			return o.fault(at, "rule %d%s: %v", n, r.label(), err)
		}
	}
	_, err := dec.Token()
	return err
}

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
