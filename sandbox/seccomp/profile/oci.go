package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
