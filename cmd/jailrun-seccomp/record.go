//go:build libseccomp

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
)

// record runs a job under its profile, with every call reported, and writes
// the smallest profile that answers these calls alike. It returns the exit code
// of the run.
//
// Decision: the calls are reported by user notification, as denied ones are
// named. SECCOMP_RET_TRACE would need jailrun to be the tracer of every
// process of the job, and then no debugger could run in it; SECCOMP_RET_LOG
// writes to the kernel's log, which only root reads and which drops what comes
// too fast.
func record(args []string) (int, error) {
	file, args, err := outFile(args)
	if err != nil {
		return 0, err
	}
	jailrun, err := findJailrun()
	if err != nil {
		return 0, err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return 0, usage("%s exists already; another name: --out FILE", file)
	}
	if err != nil {
		return 0, err
	}
	res, code, err := runRecording(jailrun, args)
	if err == nil && (res.Verdict == sandbox.ErrorVerdict || res.Verdict == sandbox.NotStarted || len(res.Calls) == 0) {
		err = errors.New("nothing was recorded: the program did not run")
	}
	if err == nil {
		err = writeProfile(out, res)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(file))
	}
	fmt.Fprintf(os.Stderr, "jailrun: %s written, %d system calls; use it with --seccomp %s\n", file, len(res.Calls), withSlash(file))
	return code, warn(file)
}

func withSlash(file string) string {
	if strings.ContainsAny(file, "/.") {
		return file
	}
	return "./" + file
}

// outFile takes --out from the front of the flags.
func outFile(args []string) (file string, rest []string, err error) {
	switch {
	case len(args) > 0 && strings.HasPrefix(args[0], "--out="):
		file, rest = strings.TrimPrefix(args[0], "--out="), args[1:]
	case len(args) > 1 && args[0] == "--out":
		file, rest = args[1], args[2:]
	case len(args) == 1 && args[0] == "--out": // file stays empty
	default:
		file, rest = "recorded.profile", args
	}
	switch {
	case file == "":
		err = usage("--out needs a file")
	case len(rest) == 0:
		err = usage("record wants a program: record [--out FILE] [flags of run] -- CMD")
	}
	return file, rest, err
}

// findJailrun is the program that this one belongs to: beside it, or in bin of
// the same prefix.
func findJailrun() (string, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	for _, path := range [...]string{filepath.Join(dir, "jailrun"), filepath.Join(dir, "..", "..", "bin", "jailrun")} {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("jailrun is neither in %s nor in ../../bin of it", dir)
}

// runRecording runs the job, and returns what became of it.
func runRecording(jailrun string, args []string) (*sandbox.Result, int, error) {
	rd, wr, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	defer rd.Close()
	cmd := exec.Command(jailrun, append([]string{"run", "--record-calls", "--result", "fd:3"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{wr}
	err = cmd.Start()
	wr.Close()
	if err != nil {
		return nil, 0, err
	}
	text, readErr := io.ReadAll(rd)
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		err = nil // its code says how the job ended
	}
	if err = errors.Join(err, readErr); err != nil {
		return nil, 0, err
	}
	res := &sandbox.Result{}
	if err := json.Unmarshal(text, res); err != nil {
		return nil, 0, fmt.Errorf("the result of the run: %w", err)
	}
	return res, cmd.ProcessState.ExitCode(), nil
}

func writeProfile(out io.Writer, res *sandbox.Result) error {
	base := ""
	for _, w := range res.Confinement {
		if w.Name == "seccomp" {
			base = w.Profile
		}
	}
	s, err := load(base)
	if err != nil {
		return err
	}
	used := make([]profile.Used, len(res.Calls))
	for i, c := range res.Calls {
		used[i] = profile.Used{Name: c.Syscall, Answer: c.Answer, Arg: c.Arg, Values: c.Values}
	}
	text, err := profile.Learn("recorded", fmt.Sprintf("What %q called under the profile %s.", res.Argv, base), s.profile, used)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}

// warn says what a recorded profile allows of what is known to be dangerous.
func warn(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	s, err := parse(file, text)
	if err != nil {
		return err
	}
	table, _, err := s.filter(file)
	if err != nil {
		return err
	}
	for _, f := range profile.Lint(table, number) {
		fmt.Fprintf(os.Stderr, "jailrun: note: %s allows %s: %s\n", file, f.Call, f.Why)
	}
	return nil
}
