//go:build libseccomp

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/seccomp"
	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
	"github.com/jailrun/jailrun/sandbox/seccomp/profiles"
	"github.com/jailrun/jailrun/sandbox/seccomp/reference"
)

// A source is a profile with what it was read from.
type source struct {
	profile *profile.Profile
	text    []byte
}

var arch = map[string]profile.Arch{"amd64": profile.AMD64, "arm64": profile.ARM64}[runtime.GOARCH]

// load reads a built-in profile, or one in a file.
func load(name string) (*source, error) {
	if strings.ContainsAny(name, "/.") {
		text, err := read(name)
		if err != nil {
			return nil, err
		}
		return parse(name, text)
	}
	p, err := profiles.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("there is no profile %q; there are %s; a file is written ./%s", name, strings.Join(profiles.Names(), ", "), name)
	}
	if err != nil {
		return nil, err
	}
	text, err := profiles.Text(name)
	return &source{p, text}, err
}

// longest is more than any profile may have, so that parsing says so.
const longest = 1 << 20

// read takes a file that may be anything: a FIFO would not end, nor /dev/zero.
func read(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, &fs.PathError{Op: "read", Path: name, Err: errors.New("is no regular file")})
	}
	return io.ReadAll(io.LimitReader(f, longest))
}

// parse reads a profile of the user's, in either form.
func parse(name string, text []byte) (*source, error) {
	var p *profile.Profile
	var err error
	if text := bytes.TrimLeft(text, " \t\r\n"); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		var kernel [2]int
		if kernel, err = kernelVersion(); err == nil {
			p, err = profile.ParseOCI(name, string(text), profile.Host{Arch: arch, Kernel: kernel, Number: number, Known: reference.Known})
		}
	} else if p, err = profile.Parse(name, string(text), profiles.Load); err == nil {
		err = known(p, name)
	}
	return &source{p, text}, err
}

// known makes sure that every name the file itself gives is a system call
// somewhere: a slip of the pen must not become a call that nothing is said of.
func known(p *profile.Profile, file string) error {
	for _, r := range p.Rules {
		if _, ok := number(r.Name); ok || r.Number >= 0 || r.File != file || reference.Known(r.Name) {
			continue
		}
		return &profile.SyntaxError{File: file, Line: r.Line, Msg: fmt.Sprintf("group %s: %q is no system call that is known; is it new? write %s=NUMBER", r.Group, r.Name, r.Name)}
	}
	return nil
}

var builtin = func() map[string]uint32 {
	numbers, err := profiles.Numbers(runtime.GOARCH)
	if err != nil {
		return nil // a processor without filters: nothing has a number
	}
	return numbers
}()

// number is the system call of a name on this processor.
func number(name string) (uint32, bool) {
	if n, ok := builtin[name]; ok {
		return n, true
	}
	return reference.Number(name, runtime.GOARCH)
}

func kernelVersion() (v [2]int, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return v, os.NewSyscallError("uname", err)
	}
	_, err = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &v[0], &v[1])
	return v, err
}

// filter compiles a profile and has libseccomp check it.
func (s *source) filter(file string) (*profile.Table, []byte, error) {
	table, err := s.profile.Table(arch, number)
	if err != nil {
		return nil, nil, err
	}
	if n, _ := number("execve"); table.Action(arch.Audit, n, [6]uint64{}) != profile.Allow {
		return nil, nil, &profile.SyntaxError{File: file, Line: 1, Msg: "execve is not allowed: no program could start"}
	}
	code, err := table.Compile()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	raw := profile.Encode(code)
	ref, err := reference.Compile(table)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: libseccomp: %w", file, err)
	}
	_, err = ref.Compare(table, raw)
	return table, raw, err
}

// withoutMemfd is the profile for runs whose memory is watched from outside.
func (s *source) withoutMemfd() *source {
	p := *s.profile
	p.Rules = slices.DeleteFunc(slices.Clone(p.Rules), func(r profile.Rule) bool { return r.Name == "memfd_create" })
	p.Rules = append(p.Rules, profile.Rule{Name: "memfd_create", Number: -1, Clauses: []profile.Clause{{Action: profile.Errno(unix.ENOSYS)}}})
	return &source{&p, s.text}
}

func list(out io.Writer) error {
	for _, p := range [...][2]string{
		{"default", "build tools and language runtimes, debuggers within the job"},
		{"judge", "single programs: no sockets but UNIX, no debugging, no message queues"},
		{"strict", "judge, but an attempt at a way out ends the job; no file locks"},
		{"none", "no filter; needs --unsafe seccomp-none"},
	} {
		if _, err := fmt.Fprintf(out, "%-8s  %s\n", p[0], p[1]); err != nil {
			return err
		}
	}
	return nil
}

func show(out io.Writer, name string) error {
	s, err := load(name)
	if err != nil {
		return err
	}
	_, err = out.Write(s.text)
	return err
}

// explain says how calls are answered.
func explain(out io.Writer, name string, calls []string) error {
	s, err := load(name)
	if err != nil {
		return err
	}
	for _, call := range calls {
		n, here := number(call)
		if v, err := strconv.ParseUint(call, 10, 31); err == nil {
			call, n, here = seccomp.CallName(uint32(v)), uint32(v), true
		}
		rule := s.profile.Find(call)
		if !here && rule == nil && !reference.Known(call) {
			return usage("%q is no system call that is known", call)
		}
		var b strings.Builder
		b.WriteString(call)
		if here {
			fmt.Fprintf(&b, " (%d)", n)
		}
		if rule == nil {
			fmt.Fprintf(&b, ": %v\n  not listed: the line \"unlisted %v\" of %s answers\n", s.profile.Unlisted, s.profile.Unlisted, name)
		} else {
			b.WriteString(": " + strings.Join(rule.Lines(), "\n  ") + "\n")
			fmt.Fprintf(&b, "  %s:%d, group %s: %s\n", filepath.Base(rule.File), rule.Line, rule.Group, rule.Reason)
		}
		if _, err := io.WriteString(out, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// lint returns 1 if it finds something.
func lint(out io.Writer, name string) (int, error) {
	s, err := load(name)
	if err != nil {
		return 0, err
	}
	table, _, err := s.filter(name)
	if err != nil {
		return 0, err
	}
	found := profile.Lint(table, number)
	for _, f := range found {
		if _, err := fmt.Fprintf(out, "allows %s: %s\n", f.Call, f.Why); err != nil {
			return 0, err
		}
	}
	return min(len(found), 1), nil
}

func check(out io.Writer, name string) error {
	s, err := load(name)
	if err != nil {
		return err
	}
	_, raw, err := s.filter(name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: %d system calls named, %d instructions\n", name, len(s.profile.Rules), len(raw)/8)
	return err
}
