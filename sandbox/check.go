package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// A FieldError is a field of a Spec that cannot be.
type FieldError struct {
	Field string // as the command line names it, without dashes
	Value string
	Err   error // what is wrong and what would be right
}

// Error is "field value: reason".
func (e *FieldError) Error() string {
	if e.Value == "" {
		return e.Field + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s %q: %v", e.Field, e.Value, e.Err)
}

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }

func fieldError(field, value, format string, a ...any) error {
	return &FieldError{field, value, fmt.Errorf(format, a...)}
}

// check makes sure that a Spec can be carried out on any host. It reads
// nothing but the Spec.
func (s *Spec) check() error {
	for _, c := range [...]func(*Spec) error{
		checkArgs, checkEnv, checkHostname, checkSeccomp, checkUnsafe, checkWalls, checkNet, checkTargets, checkFiles, checkLimits, checkRuntime,
	} {
		if err := c(s); err != nil {
			return err
		}
	}
	return nil
}

func checkArgs(s *Spec) error {
	if len(s.Args) == 0 && !s.composed() {
		return nil // an image may name one
	}
	if len(s.Args) == 0 || s.Args[0] == "" {
		return fieldError("command", "", "no program given")
	}
	for _, a := range s.Args {
		if strings.IndexByte(a, 0) >= 0 {
			return fieldError("command", a, "holds a NUL byte")
		}
	}
	return nil
}

func checkEnv(s *Spec) error {
	for _, kv := range slices.Concat(s.Env, s.AddEnv) {
		name, _, ok := strings.Cut(kv, "=")
		switch {
		case !ok || name == "":
			return fieldError("env", kv, "want NAME=VALUE")
		case strings.IndexByte(kv, 0) >= 0:
			return fieldError("env", kv, "holds a NUL byte")
		}
	}
	return nil
}

// checkHostname takes what sethostname(2) and a line of /etc/hosts can hold.
func checkHostname(s *Spec) error {
	for _, c := range []byte(s.Hostname) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return fieldError("hostname", s.Hostname, "want letters, digits, - and . only")
		}
	}
	if len(s.Hostname) > 64 {
		return fieldError("hostname", s.Hostname, "is longer than 64 bytes")
	}
	return nil
}

func checkSeccomp(s *Spec) error {
	p := s.profile()
	if f := s.Filter; f != nil {
		if err := errors.Join(seccomp.CheckFilter(f.Plain), seccomp.CheckFilter(f.NoMemfd)); err != nil {
			return &FieldError{"seccomp", p, err}
		}
		return nil
	}
	if !slices.Contains(seccomp.Names(), p) {
		return fieldError("seccomp", p, "unknown profile, want one of %s", strings.Join(seccomp.Names(), ", "))
	}
	if p == "none" && !slices.Contains(s.Unsafe, UnsafeNoSeccomp) {
		return fieldError("seccomp", p, "gives up the filter; it needs --unsafe %s", UnsafeNoSeccomp)
	}
	return nil
}

var unsafeNames = [...]string{UnsafeNoSeccomp, UnsafeBindHome, UnsafeBindSockets, UnsafeNetHost}

func checkUnsafe(s *Spec) error {
	for _, u := range s.Unsafe {
		if !slices.Contains(unsafeNames[:], u) {
			return fieldError("unsafe", u, "unknown, want %s", strings.Join(unsafeNames[:], ", "))
		}
	}
	return nil
}

func checkNet(s *Spec) error {
	switch {
	case s.Net > NetHost:
		return fieldError("net", strconv.Itoa(int(s.Net)), "is none of the networks")
	case s.Net == NetHost && !s.unsafe(UnsafeNetHost):
		return fieldError("net", "host", "gives the job the host's network; it needs --unsafe %s", UnsafeNetHost)
	}
	return nil
}

func checkTargets(s *Spec) error {
	check := func(field, target string) error {
		if _, ok := fs.Clean(target); !ok {
			return fieldError(field, target, "the place inside must be absolute and not /, /proc or /dev")
		}
		return nil
	}
	for _, b := range s.Binds {
		if b.Target != "" {
			if err := check("bind", b.Target); err != nil {
				return err
			}
		}
	}
	for _, t := range s.Tmpfs {
		if err := check("tmpfs", t.Target); err != nil {
			return err
		}
	}
	for _, f := range s.Files {
		if err := check("file", f.Target); err != nil {
			return err
		}
	}
	if s.Workdir != "" {
		if w, ok := fs.Clean(s.Workdir); !ok && w != "/" {
			return fieldError("workdir", s.Workdir, "must be absolute and not below /proc or /dev")
		}
	}
	return nil
}

func checkRuntime(s *Spec) error {
	if s.Runtime != "" && !slices.Contains(Runtimes[:], s.Runtime) {
		return fieldError("runtime", s.Runtime, "unknown, want one of %s", strings.Join(Runtimes[:], ", "))
	}
	return nil
}

var errNegative = errors.New("is negative")

func checkLimits(s *Spec) error {
	l := &s.Limits
	for _, d := range [...]struct {
		name string
		n    int64
	}{{"cpu-time", int64(l.CPUTime)}, {"wall", int64(l.Wall)}, {"grace", int64(l.Grace)}, {"grace of a cancel", int64(l.CancelGrace)}, {"inodes", int64(l.Inodes)}} {
		if d.n < 0 {
			return &FieldError{d.name, fmt.Sprint(d.n), errNegative}
		}
	}
	switch {
	case l.Pids < -1:
		return fieldError("pids", fmt.Sprint(l.Pids), "want a number of tasks, at least 1")
	case l.Weight < 0 || l.Weight > 10000:
		return fieldError("cpu-weight", fmt.Sprint(l.Weight), "want 1 to 10000")
	case l.IOWeight < 0 || l.IOWeight > 10000:
		return fieldError("io-weight", fmt.Sprint(l.IOWeight), "want 1 to 10000")
	case l.MemoryHigh > 0 && l.Memory > 0 && l.MemoryHigh > l.Memory:
		return fieldError("mem-high", l.MemoryHigh.String(), "is above --mem %s, so it would never be met", l.Memory)
	case l.Swap > 0 && l.Memory == 0:
		return fieldError("swap", l.Swap.String(), "needs --mem, on top of which it comes")
	case l.Inodes > 0 && l.Inodes < 128:
		return fieldError("inodes", fmt.Sprint(l.Inodes), "is below the 128 that the root itself needs")
	case l.Disk > 0 && l.Disk < 1<<20:
		return fieldError("disk", l.Disk.String(), "is below the 1 MiB that the root itself needs")
	}
	return nil
}
