package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
)

// holdings counts what a run must not leave in its process.
func holdings(t *testing.T) (fds, goroutines, mappings, children int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread may have ended
		children += len(strings.Fields(string(text)))
	}
	return len(list), runtime.NumGoroutine(), bytes.Count(maps, []byte("/dev/zero (deleted)")), children
}

func TestNothingIsLeft(t *testing.T) {
	run := func() {
		for _, script := range []string{"true", "echo out; echo err >&2; exit 3", "setsid sleep 60 & kill -9 $$"} {
			shell(t, script, func(c *sandbox.Cmd) { c.Stdin = strings.NewReader("input") })
		}
		c := sandbox.Command("no-such-program")
		_, err := c.Run(t.Context())
		require.Error(t, err)
		c = sandbox.Command("true")
		c.Seccomp = "no-such-profile"
		_, err = c.Run(t.Context())
		require.Error(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		_, err = sandbox.Command("sleep", "60").Run(ctx)
		require.NoError(t, err)
	}
	run()
	fds, goroutines, mappings, children := holdings(t)
	for range 20 {
		run()
	}
	fds2, goroutines2, mappings2, children2 := holdings(t)
	assert.Equal(t, fds, fds2, "descriptors")
	assert.Less(t, goroutines2, goroutines+20, "goroutines: one that a run leaves would be there 20 times, one that is ending is not")
	assert.Equal(t, mappings, mappings2, "tables")
	assert.Equal(t, children, children2, "children")
}

// TestHelperRunner is no test: TestCrash starts it in a process of its own.
func TestHelperRunner(t *testing.T) {
	marker := os.Getenv("JAILRUN_TEST_MARKER")
	if marker == "" {
		return
	}
	c := sandbox.Command("sh", "-c", "echo up; (setsid sh -c 'sleep 1000; : "+marker+"' &) ; sleep 1000; : "+marker)
	c.CWD = sandbox.CWDNone
	c.Stdout = os.Stdout
	_, _ = c.Run(t.Context())
}

// runner starts a process that runs a job, and returns its standard output.
func runner(t *testing.T, marker string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHelperRunner$", "-test.count=1", "-test.paniconexit0=false")
	cmd.Args = append(cmd.Args, marker)
	cmd.Env = append(os.Environ(), "JAILRUN_TEST_MARKER="+marker)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewReader(out)
}

// survivors lists the processes that a run with this marker has left.
func survivors(t *testing.T, marker string) (list []string) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	self := strconv.Itoa(os.Getpid())
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		comm, _ := os.ReadFile(dir + "/comm")
		var owner bool
		if st, err := os.Stat(dir); err == nil {
			owner = !st.ModTime().IsZero()
		}
		if owner && filepath.Base(dir) != self && bytes.Contains(cmdline, []byte(marker)) {
			list = append(list, dir+" "+string(comm)+string(cmdline))
		}
	}
	return list
}

// TestCrash kills the runner at many moments of a launch and of a run: nothing
// outlives it by a second. (Row F01 of the attack table.)
func TestCrash(t *testing.T) {
	for i := range 25 {
		marker := "crash-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(i)
		cmd, out := runner(t, marker)
		if i%5 == 0 { // while the job runs
			line, err := out.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "up\n", line)
			require.NotEmpty(t, survivors(t, marker), "the control: the job is there")
		} else { // while it is set up
			<-time.After(time.Duration(i) * time.Millisecond)
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.Eventually(t, func() bool { return len(survivors(t, marker)) == 0 }, time.Second, 5*time.Millisecond,
			"survivors: %q", survivors(t, marker))
	}
}

// TestBigHeap launches from a process whose heap makes forks dear, and so
// through the spawner, from several goroutines at once.
func TestBigHeap(t *testing.T) {
	heap := make([]byte, 200<<20)
	for i := 0; i < len(heap); i += 4096 {
		heap[i] = 1
	}
	for g := range 4 {
		t.Run(strconv.Itoa(g), func(t *testing.T) {
			t.Parallel()
			for range 15 {
				c := sandbox.Command("sh", "-c", "cat; echo err >&2; exit 3")
				c.CWD = sandbox.CWDNone
				c.Stdin = strings.NewReader("in")
				out, res, err := c.Output(t.Context())
				require.NoError(t, err)
				require.Equal(t, "in", string(out))
				require.Equal(t, 3, *res.ExitCode)
			}
		})
	}
	runtime.KeepAlive(heap)
}
