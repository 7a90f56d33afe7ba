package seccomp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/rootless"
)

// The test binary is its own victim: with helperEnv set it loads a filter and
// does what its arguments say.
const helperEnv = "SECCOMP_TEST_HELPER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(helperEnv); mode != "" {
		os.Unsetenv(helperEnv)
		if err := help(mode, os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "helper:", err)
			os.Exit(125)
		}
		os.Exit(0)
	}
	rootless.Main(m)
}

func help(mode, filter string, args []string) error {
	// A filter holds for one thread; all that is to be seen happens on this one.
	runtime.LockOSThread()
	switch mode {
	case "calls":
		return runVictims(filter)
	case "exec":
		path, err := exec.LookPath(args[0])
		if err != nil {
			return err
		}
		if err := load(filter); err != nil {
			return err
		}
		return syscall.Exec(path, args, os.Environ())
	case "load":
		if err := load(filter); err != nil {
			return err
		}
		fmt.Println(loadTook)
		return nil
	case "numbers":
		debug.SetGCPercent(-1)
		return helpNumbers(filter, args)
	case "call":
		debug.SetGCPercent(-1) // a collection would make calls of its own on this thread
		number, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil {
			return err
		}
		if err := load(filter); err != nil {
			return err
		}
		_, _, errno := syscall.RawSyscall(uintptr(number), ^uintptr(0), 0, 0)
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 100+min(uintptr(errno), 1), 0, 0)
	}
	return fmt.Errorf("no mode %q", mode)
}

// load confines the calling thread. The filter "none" is the control.
func load(name string) error {
	var raw []byte
	switch name, noMemfd := strings.CutSuffix(name, "-nomemfd"); name {
	case "init":
		raw = Init()
	case "server":
		raw = Server()
	default:
		var err error
		if raw, err = Filter(name, noMemfd); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if raw == nil {
		return nil
	}
	filters := make([]unix.SockFilter, len(raw)/8)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&filters[0])), len(raw)), raw)
	prog := unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]}
	before := threadClock()
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
	loadTook = threadClock() - before
	return err
}

// loadTook is what the kernel took to load the last filter, in nanoseconds.
var loadTook int64

func threadClock() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return ts.Nano()
}

// helper is a run of the test binary under a filter, in a directory of its own.
func helper(t testing.TB, mode, filter string, args ...string) *exec.Cmd {
	t.Helper()
	require.NotZero(t, os.Geteuid(), "the filters are for unprivileged jobs")
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", append([]string{filter}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{
		helperEnv + "=" + mode, "HOME=" + cmd.Dir, "TMPDIR=" + cmd.Dir, "LANG=C.UTF-8",
		"PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin",
	}
	return cmd
}

// output runs cmd and returns what it wrote to both streams.
func output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// helperStatus is a helper's exit status as a shell gives it: 128+N for signal N.
func helperStatus(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return -1
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}
