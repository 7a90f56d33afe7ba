// Package rootless runs a package's tests as an unprivileged user even when
// root starts them: as root everything works, and a test would prove nothing.
package rootless

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// UID is the user, and the group, under which tests run when root starts them.
// No account has it, so nothing on the host belongs to it.
const UID = 64123

// Main runs m's tests and exits. Called from TestMain as root it runs the test
// binary again under UID; JAILRUN_TEST_UID is not consulted, the number is fixed.
func Main(m *testing.M) {
	if os.Geteuid() != 0 || onlyFuzzes(os.Args) {
		os.Exit(m.Run())
	}
	code, err := again()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rootless:", err)
		code = 2
	}
	os.Exit(code)
}

// onlyFuzzes reports whether a fuzz target runs and no test does, as scripts/fuzz
// has it. What it finds is kept where only root may write, it starts itself again
// by a name that only root may execute, and what it tries is no matter of rights.
func onlyFuzzes(args []string) bool {
	return slices.Contains(args, "-test.run=^$") &&
		slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz") })
}

func again() (int, error) {
	// The go tool builds below a directory of mode 0700, so the binary is run
	// by descriptor.
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	tmp, err := os.MkdirTemp("", "rootless")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chown(tmp, UID, UID); err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/fd/3", arguments()...)
	cmd.ExtraFiles = []*os.File{self}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp, "XDG_CACHE_HOME="+tmp+"/.cache", "GOCOVERDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: UID, Gid: UID},
		Pdeathsig:  unix.SIGKILL,
	}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// arguments leaves out what the go tool wants written below its own directory.
func arguments() []string {
	var args []string
	for _, a := range os.Args[1:] {
		if !strings.HasPrefix(a, "-test.testlogfile") && !strings.HasPrefix(a, "-test.gocoverdir") &&
			!strings.HasPrefix(a, "-test.coverprofile") {
			args = append(args, a)
		}
	}
	return args
}
