package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"

	"github.com/jailrun/jailrun/tests/program"
)

// jobs are what the test binary does when it is the job itself, or a runner.
var jobs = map[string]func([]string){
	// mounts N times, PAUSE apart, and counts how it is refused
	"mounts": func(args []string) {
		n, answers := 0, map[error]int{}
		_, _ = fmt.Sscan(args[0], &n)
		pause, _ := time.ParseDuration(args[1])
		if pause > 0 {
			fmt.Println("begun")
		}
		for range n {
			answers[unix.Mount("", "/", "", 0, "")]++
			time.Sleep(pause)
		}
		fmt.Println(answers[unix.EPERM], answers[unix.ENOSYS])
	},
	// a runner of jobs, with the path of the helper as it sees it
	"runs": func(args []string) {
		c := asJob(args[0], args[1:]...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if _, err := c.Run(context.Background()); err != nil {
			fmt.Println(err)
		}
	},
}

const jobEnv = "SANDBOX_TEST_JOB"

// playJob never returns if the test binary was started as a job.
func playJob() {
	if f := jobs[os.Getenv(jobEnv)]; f != nil {
		f(os.Args[1:])
		os.Exit(0)
	}
}

// asJob runs the test binary, which the file helper is a copy of, as a job.
func asJob(helper string, args ...string) *sandbox.Cmd {
	c := sandbox.Command("/helper", args[1:]...)
	c.CWD = sandbox.CWDNone
	c.Binds = []sandbox.Bind{{Source: helper, Target: "/helper"}}
	c.Env = append(sandbox.DefaultEnv(), jobEnv+"="+args[0], "GOCOVERDIR=/tmp")
	return c
}

// copyHelper copies the test binary: its own directory is closed to the job.
func copyHelper(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helper")
	program.CopySelf(t, path)
	return path
}

func helperJob(t *testing.T, profile string, args ...string) (*sandbox.Result, string) {
	t.Helper()
	c := asJob(copyHelper(t), args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr, c.Seccomp = &out, &out, profile
	res, err := c.Run(t.Context())
	require.NoError(t, err)
	return res, out.String()
}

func TestDeniedCallsAreNamed(t *testing.T) {
	t.Parallel()
	res, _, errs := shell(t, "mount -t tmpfs x /tmp; chmod 4755 /tmp; chmod 2755 /tmp; unshare -U true; exit 3", nil)
	assert.Equal(t, 3, *res.ExitCode)
	assert.Contains(t, res.Hint, "jailrun seccomp explain default ")
	count := map[string]int{}
	for _, d := range res.Denied {
		assert.Equal(t, "EPERM", d.Answer)
		count[d.Syscall] += d.Count
	}
	// Some versions of chmod(1) call one, some the other.
	count["chmod"] += count["fchmodat"] + count["fchmodat2"]
	assert.GreaterOrEqual(t, count["mount"], 1, errs)
	assert.Equal(t, 2, count["chmod"], errs)
	assert.Equal(t, 1, count["unshare"], errs)

	res, _, _ = shell(t, "ls -l / >/dev/null; cat /proc/self/status >/dev/null", nil)
	assert.Empty(t, res.Denied, "ordinary programs meet nothing that is named")
}

// TestDenialsAreBounded: a job that makes nothing but denied calls costs the
// runner a bounded number of answers.
func TestDenialsAreBounded(t *testing.T) {
	t.Parallel()
	res, out := helperJob(t, "default", "mounts", "5000", "0")
	require.NotEmpty(t, res.Denied, out)
	assert.Equal(t, sandbox.DeniedCall{Syscall: "mount", Answer: "EPERM", Count: 1000}, res.Denied[0])
	assert.Equal(t, "1000 4000\n", out)
	assert.Contains(t, strings.Join(res.Notes, "\n"), "more than 1000 system calls were denied")
}

func TestKillingCallIsNamed(t *testing.T) {
	t.Parallel()
	res, out := helperJob(t, "strict", "mounts", "1", "0")
	assert.Equal(t, sandbox.Syscall, res.Verdict)
	assert.Equal(t, "called mount, for which the filter kills", res.Cause)
	assert.Equal(t, []sandbox.DeniedCall{{Syscall: "mount", Answer: "kill", Count: 1}}, res.Denied)
	assert.Empty(t, out)

	// Also in a child, whose parent would have gone on.
	res, text, _ := shell(t, "unshare -U true & wait; echo alive", func(c *sandbox.Cmd) { c.Seccomp = "strict" })
	assert.Equal(t, sandbox.Syscall, res.Verdict, res.Cause)
	assert.Empty(t, text)
}

// A SIGSYS that a program gives itself is no kill by the filter, which would
// have been told of.
func TestRaisedSIGSYS(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"default", "judge", "strict"} {
		res, _, _ := shell(t, "kill -SYS $$", func(c *sandbox.Cmd) { c.Seccomp = profile })
		assert.Equal(t, sandbox.Signaled, res.Verdict, "%s: %s", profile, res.Cause)
		require.NotNil(t, res.Signal, profile)
		assert.Equal(t, int(unix.SIGSYS), *res.Signal)
	}
}

// TestStoppedRunner: denied calls wait for a runner that stands still, and are
// never made; when it is killed, nothing of the job is left.
func TestStoppedRunner(t *testing.T) {
	t.Parallel()
	helper := copyHelper(t)
	marker := filepath.Base(filepath.Dir(helper)) + helper // not in any other command line
	begin := func(n string) (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", helper, "mounts", n, "1ms", marker)
		cmd.Env = append(os.Environ(), jobEnv+"=runs")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan())
		require.Equal(t, "begun", lines.Text())
		require.NoError(t, cmd.Process.Signal(unix.SIGSTOP))
		return cmd, lines
	}
	cmd, lines := begin("300")
	require.NoError(t, cmd.Process.Signal(unix.SIGCONT))
	require.True(t, lines.Scan())
	assert.Equal(t, "300 0", lines.Text())
	require.NoError(t, cmd.Wait())

	cmd, _ = begin("900")
	require.NotEmpty(t, jobsWith(t, marker), "the job, seen from outside")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	assert.Eventually(t, func() bool { return len(jobsWith(t, marker)) == 0 }, 10*time.Second, 5*time.Millisecond)
}

// jobsWith lists the helper's processes with an argument, by pid.
func jobsWith(t *testing.T, arg string) (pids []string) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range list {
		text, err := os.ReadFile(path)
		if err == nil && bytes.HasPrefix(text, []byte("/helper\x00")) && bytes.Contains(text, []byte(arg)) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}
