// Package attack holds what a hostile program tries, as code: one entry for
// each attempt, with the row of the security bar that it belongs to, and with
// the place where the same attempt succeeds, so that a refusal proves
// something. The programs run inside a sandbox, each in a process of its own:
// the sandbox may kill it.
//
// The tests of tests/attacks drive all of it; jailrun-selftest carries the part
// that is safe on any host to the user.
package attack

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Control says where an attempt succeeds: the same program run there must.
type Control uint8

// The controls.
const (
	None      Control = iota // nowhere without real privilege; Attack.Why says so
	Outside                  // as an ordinary process of the same user
	Namespace                // as root of new namespaces, with every capability in them
)

// An Attack is one attempt. It must do no harm where its control is run, and
// none to a host on which the sandbox fails to refuse it.
type Attack struct {
	Row  string       // of the security bar: "A25"
	Name string       // unique, one word
	Try  func() error // nil: it worked

	Control Control
	Why     string // with None: why there is no control
	// Reached are answers that, in the control, show that the kernel's own code
	// was asked. A kernel without the interface answers with one of Absent: the
	// control is then void.
	Reached, Absent []unix.Errno
	// Allowed names profiles under which the attempt may work, as it reaches
	// nothing but the job itself.
	Allowed []string
	// Twice says that the attempt is refused without the filter as well.
	Twice bool
}

// Mounts reports whether the attempt changes what is mounted where it works.
func (a Attack) Mounts() bool { return slices.Contains([]string{"A13", "A16", "A21", "A73"}, a.Row) }

// All lists every attempt, by row.
func All() []Attack {
	return slices.Concat(procAttacks(), maskAttacks(), mountAttacks(), namespaceAttacks(), kernelAttacks(), socketAttacks(),
		processAttacks(), deviceAttacks(), fileAttacks(), memoryAttacks())
}

// Outcomes of an attempt besides the names of errnos.
const (
	Worked  = "worked"
	Killed  = "killed" // by the filter
	Nothing = "nothing"
)

// ErrNothing is the outcome of an attempt that was not refused and got nothing.
var ErrNothing = errors.New(Nothing)

// Refused reports whether an outcome is that of a refused attempt: an errno,
// a kill by the filter, or nothing to be had.
func Refused(outcome string) bool {
	return outcome == Killed || outcome == Nothing || isErrno(outcome)
}

func isErrno(outcome string) bool {
	return len(outcome) > 1 && outcome[0] == 'E' && strings.ToUpper(outcome) == outcome && !strings.Contains(outcome, " ")
}

// outcome names how an attempt ended.
func outcome(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return Worked
	case errors.Is(err, ErrNothing):
		return Nothing
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

// Find returns the attempt of that name.
func Find(name string) (Attack, bool) {
	all := All()
	i := slices.IndexFunc(all, func(a Attack) bool { return a.Name == name })
	if i < 0 {
		return Attack{}, false
	}
	return all[i], true
}

// One makes one attempt and writes its outcome.
func One(w io.Writer, name string) error {
	a, ok := Find(name)
	if !ok {
		return fmt.Errorf("no attack %q", name)
	}
	_, err := fmt.Fprintln(w, outcome(a.Try()))
	return err
}

// Each makes the attempts named, each in a new process of this program, and
// writes a line of name and outcome for each. command is the word by which
// this program calls [One]; flags are clone flags for each process.
func Each(w io.Writer, names []string, command string, flags uintptr) error {
	for _, name := range names {
		if _, err := fmt.Fprintf(w, "%s %s\n", name, apart(name, command, flags)); err != nil {
			return err
		}
	}
	return nil
}

func apart(name, command string, flags uintptr) string {
	cmd := exec.Command("/proc/self/exe", command, name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return strings.TrimSpace(string(out))
	case exited && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGSYS:
		return Killed
	}
	return "crashed: " + err.Error()
}

// Complete makes all attempts, in as many sandboxes as it takes: where the
// filter kills, it ends the whole job. run makes a sandbox in which [Each] has
// the attempts from number first on, and says whether the filter ended it.
func Complete(run func(first int) (out string, killed bool, err error)) (map[string]string, error) {
	all, got := All(), map[string]string{}
	for first := 0; first < len(all); {
		out, killed, err := run(first)
		if err != nil {
			return got, err
		}
		maps.Copy(got, Parse(out))
		first += strings.Count(out, "\n")
		if killed && first < len(all) {
			got[all[first].Name] = Killed
			first++
		} else if first < len(all) {
			return got, fmt.Errorf("it ended at %s: %s", all[first].Name, out)
		}
	}
	return got, nil
}

// Parse reads what [Each] wrote.
func Parse(text string) map[string]string {
	got := map[string]string{}
	for line := range strings.Lines(text) {
		name, out, _ := strings.Cut(strings.TrimSpace(line), " ")
		got[name] = out
	}
	return got
}

// Names lists the attempts that fit.
func Names(fits func(Attack) bool) []string {
	var names []string
	for _, a := range All() {
		if fits(a) {
			names = append(names, a.Name)
		}
	}
	return names
}
