package limits

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/rootless"
)

// helperEnv names the helper that the test binary is to be instead of running
// tests; helpers are the jobs and hostile neighbours of the tests.
const helperEnv = "LIMITS_TEST_HELPER"

// delegatedEnv says that root has made a delegated cgroup for the tests.
const delegatedEnv = "LIMITS_TEST_DELEGATED"

func TestMain(m *testing.M) {
	if name := os.Getenv(helperEnv); name != "" {
		if err := helpers()[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	fuzzing := slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, "-test.fuzz") })
	if fuzzing {
		os.Exit(m.Run()) // parsers, and a cache that only the caller can write
	}
	if os.Geteuid() == 0 && os.Getenv(delegatedEnv) == "" {
		if code, ok := delegated(); ok {
			os.Exit(code)
		}
	}
	rootless.Main(m)
}

// delegated runs the tests in a cgroup that belongs to the unprivileged user,
// as a service manager would start them, if there is a cgroup v2 in which root
// may make one. The host's own groups are left as they are.
func delegated() (code int, ok bool) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	path, ok := v2Path(own)
	if !ok {
		return 0, false
	}
	d, _, err := openOwn(&FindOptions{proc: "/proc"}, path)
	if err != nil {
		return 0, false
	}
	defer d.close()
	name := "jailrun-test-" + strconv.Itoa(os.Getpid())
	group, err := d.make(name)
	if err != nil {
		return 0, false
	}
	defer func() {
		_ = removeGroup(d, name, removePatience)
	}()
	defer group.close()
	for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
		if err := os.Chown(filepath.Join(group.path, file), rootless.UID, rootless.UID); err != nil {
			return 0, false
		}
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), delegatedEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: group.fd, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 2, true
	}
	return cmd.ProcessState.ExitCode(), true
}

// helper returns a command that runs this test binary as a helper.
func helper(t testing.TB, name string, args ...string) *exec.Cmd {
	if helpers()[name] == nil {
		t.Fatalf("no helper %q", name)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// into has a command start in a cgroup.
func into(cmd *exec.Cmd, fd int) *exec.Cmd {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
	return cmd
}
