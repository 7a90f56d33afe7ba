package seccomp

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/seccomp/profiles"
)

// runVictims prints how every call ends under a filter.
func runVictims(filter string) error {
	s, err := newScene()
	if err != nil {
		return err
	}
	victims := victims(s)
	if err := load(filter); err != nil {
		return err
	}
	for _, v := range victims {
		fmt.Printf("%s=%s\n", v.name, errnoName(v.call()))
	}
	return nil
}

func errnoName(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &errno) && errno == unix.EOPNOTSUPP:
		return "EOPNOTSUPP" // ErrnoName knows it as ENOTSUP
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

func outcomes(t *testing.T, filter string) map[string]string {
	t.Helper()
	out, err := output(helper(t, "calls", filter))
	require.NoError(t, err, out)
	got := map[string]string{}
	for line := range strings.Lines(out) {
		name, errno, ok := strings.Cut(strings.TrimSpace(line), "=")
		require.True(t, ok, line)
		got[name] = errno
	}
	return got
}

func TestRealCalls(t *testing.T) {
	expected := victims(&scene{})
	control := outcomes(t, "none")
	require.Len(t, control, len(expected))
	for _, v := range expected {
		switch {
		case v.free != "*":
			assert.Equal(t, v.free, control[v.name], "%s without a filter", v.name)
		case v.def != "*":
			assert.NotEqual(t, v.def, control[v.name], "%s without a filter", v.name)
		default:
			assert.NotEqual(t, v.judge, control[v.name], "%s without a filter", v.name)
		}
	}
	for _, filter := range []string{"default", "default-nomemfd", "judge", "judge-nomemfd"} {
		t.Run(filter, func(t *testing.T) {
			got := outcomes(t, filter)
			require.Len(t, got, len(expected))
			for _, v := range expected {
				want := v.def
				switch {
				case v.name == "memfd" && strings.HasSuffix(filter, "-nomemfd"):
					want = "ENOSYS"
				case strings.HasPrefix(filter, "judge"):
					want = v.judge
				case want == "*":
					want = control[v.name]
				}
				assert.Equal(t, want, got[v.name], v.name)
			}
		})
	}
}

// TestKill makes one call under a filter: the process is killed, answers (100:
// success, 101: an errno), and without the filter it always answers.
func TestKill(t *testing.T) {
	numbers, err := profiles.Numbers(goarch)
	require.NoError(t, err)
	for _, row := range []struct {
		filter, call string
		killed       bool
	}{
		{"strict", "getppid", false},
		{"strict", "unshare", true},
		{"strict", "ptrace", true},
		{"strict", "bpf", true},
		{"strict", "clone", true}, // all flags set
		{"strict", "flock", false},
		{"strict", "socket", false},
		{"strict-nomemfd", "mount", true},
		{"default", "unshare", false},
		{"judge", "ptrace", false},
		{"init", "close", false},
		{"init", "munmap", false},
		{"init", "getppid", true},
		{"init", "openat", true},
		{"init", "execve", true},
		{"init", "mmap", true},
	} {
		t.Run(row.filter+" "+row.call, func(t *testing.T) {
			t.Parallel()
			number := strconv.FormatUint(uint64(numbers[row.call]), 10)
			if row.call != "clone" { // it would fork
				assertAnswered(t, helper(t, "call", "none", number))
			}
			cmd := helper(t, "call", row.filter, number)
			if !row.killed {
				assertAnswered(t, cmd)
				return
			}
			out, err := output(cmd)
			assert.Equal(t, 128+int(unix.SIGSYS), helperStatus(err), out)
		})
	}
}

func assertAnswered(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := output(cmd)
	assert.Contains(t, []int{100, 101}, helperStatus(err), out)
}
