package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
)

// TestSpawnedJobHoldsNothing launches from a big process: the job has its
// standard streams, and Start returns when it runs, not when it ends.
func TestSpawnedJobHoldsNothing(t *testing.T) {
	heap := make([]byte, 200<<20)
	for i := 0; i < len(heap); i += 4096 {
		heap[i] = 1
	}
	for range 2 { // the second time by a spawner that is there
		c := sandbox.Command("ls", "/proc/self/fd")
		c.CWD = sandbox.CWDNone
		out, _, err := c.Output(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "0\n1\n2\n3\n", string(out), "3 is that of ls")

		ctx, cancel := context.WithCancel(t.Context())
		c = sandbox.Command("sleep", "60")
		c.CWD = sandbox.CWDNone
		begin := time.Now()
		require.NoError(t, c.Start(ctx))
		assert.Less(t, time.Since(begin), 10*time.Second)
		cancel()
		res, err := c.Wait()
		require.NoError(t, err)
		assert.Equal(t, sandbox.Canceled, res.Verdict)

		res, err = sandbox.Command("/nonexistent").Run(t.Context())
		require.ErrorIs(t, err, unix.ENOENT)
		assert.Equal(t, sandbox.NotStarted, res.Verdict)
	}
	runtime.KeepAlive(heap)
}

// TestBlockedWriter: who cancels is not held by a writer that takes nothing.
func TestBlockedWriter(t *testing.T) {
	release := make(chan struct{})
	var writes sync.WaitGroup
	writes.Add(1)
	ctx, cancel := context.WithCancel(t.Context())
	c := sandbox.Command("sh", "-c", "echo out; exec sleep 60")
	c.CWD = sandbox.CWDNone
	c.Limits.Wall = time.Second
	over := make(chan struct{})
	c.Trace = func(e sandbox.Event) {
		if strings.Contains(e.Text, "killing the job") {
			close(over)
		}
	}
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		defer writes.Done() // a second write would be one too many
		<-release
		return len(p), nil
	})
	require.NoError(t, c.Start(ctx))
	go func() {
		<-over
		cancel()
	}()
	begin := time.Now()
	res, err := c.Wait()
	require.NoError(t, err)
	assert.Less(t, time.Since(begin), 20*time.Second)
	assert.Equal(t, sandbox.WallTime, res.Verdict, res.Cause)
	assert.True(t, res.Stdout.Truncated)
	assert.False(t, res.Stderr.Truncated)
	require.NotNil(t, res.Stdout)
	require.Positive(t, res.Stdout.Bytes, "the job has written before its end")
	close(release)
	writes.Wait()
}

// TestCancelGrace: a cancel has a grace of its own, and its last words arrive.
func TestCancelGrace(t *testing.T) {
	for _, tt := range []struct {
		cancel, grace time.Duration
		want          string
	}{{time.Hour, 0, "up\nasked\n"}, {0, time.Hour, "up\nasked\n"}, {0, 0, "up\n"}, {time.Millisecond, time.Hour, "up\n"}} {
		ctx, cancel := context.WithCancel(t.Context())
		term := "trap 'echo asked; exit 3' TERM"
		if tt.cancel == time.Millisecond {
			term = "trap '' TERM"
		}
		c := sandbox.Command("sh", "-c", term+"; echo up; sleep 60 & wait; sleep 60")
		c.CWD = sandbox.CWDNone
		c.Limits.CancelGrace, c.Limits.Grace = tt.cancel, tt.grace
		var out []byte
		c.Stdout = writerFunc(func(p []byte) (int, error) {
			out = append(out, p...)
			cancel()
			return len(p), nil
		})
		res, err := c.Run(ctx)
		require.NoError(t, err)
		assert.Equal(t, sandbox.Canceled, res.Verdict)
		assert.Equal(t, tt.want, string(out), "%v", tt)
	}
}

// TestSignalAnyTime calls Signal and Suspend before, during and after a run.
func TestSignalAnyTime(t *testing.T) {
	for range 5 {
		c := sandbox.Command("sh", "-c", "echo up; read x; echo $x")
		c.CWD = sandbox.CWDNone
		input, feed := io.Pipe()
		c.Stdin = input
		up := make(chan struct{})
		var once sync.Once
		c.Stdout = writerFunc(func(p []byte) (int, error) {
			once.Do(func() { close(up) })
			return len(p), nil
		})
		require.Error(t, c.Signal(unix.SIGTERM), "not started")
		stop := make(chan struct{})
		var callers sync.WaitGroup
		for range 2 {
			callers.Go(func() {
				for on := true; ; on = !on {
					select {
					case <-stop:
						return
					default:
						_ = c.Suspend(on)
						_ = c.Signal(unix.SIGCONT)
					}
				}
			})
		}
		callers.Go(func() {
			<-up
			_, _ = feed.Write([]byte("word\n"))
			_ = c.Signal(unix.SIGKILL)
		})
		res, err := c.Run(t.Context())
		close(stop)
		require.NoError(t, err)
		assert.Contains(t, []sandbox.Verdict{sandbox.Signaled, sandbox.Exited}, res.Verdict)
		feed.Close()
		callers.Wait()
		require.Error(t, c.Signal(unix.SIGTERM), "over")
		require.Error(t, c.Suspend(true), "over")
	}
}

// TestSuspendedShare: a job that is held to a share stands still all the same
// while it is suspended, and is not taken for one that resists.
func TestSuspendedShare(t *testing.T) {
	burnsWhile := func(suspended bool) time.Duration {
		c := sandbox.Command("sh", "-c", fmt.Sprintf("echo up; while :; do : suspended share %t; done", suspended))
		c.CWD = sandbox.CWDNone
		c.Limits.CPU = 300
		up := make(chan struct{})
		c.Stdout = writerFunc(func(p []byte) (int, error) { close(up); return len(p), nil })
		require.NoError(t, c.Start(t.Context()))
		var burnt time.Duration
		var watcher sync.WaitGroup
		watcher.Go(func() {
			defer func() { _ = c.Signal(unix.SIGKILL) }()
			<-up
			pid := process(t, "sh\x00-c\x00"+c.Args[2]+"\x00")
			// While its share holds it, which is most of the time. By a group that
			// does not show.
			for until := time.Now().Add(300 * time.Millisecond); time.Now().Before(until); {
				if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Contains(string(text), ") T ") {
					break
				}
			}
			if suspended {
				_ = c.Suspend(true)
			}
			time.Sleep(200 * time.Millisecond) // a stop takes a moment to arrive
			before := cpuTime(pid)
			time.Sleep(time.Second)
			burnt = cpuTime(pid) - before
		})
		res, err := c.Wait()
		watcher.Wait()
		require.NoError(t, err)
		assert.Equal(t, sandbox.Signaled, res.Verdict, res.Cause)
		return burnt
	}
	assert.LessOrEqual(t, burnsWhile(true), 10*time.Millisecond)
	assert.Greater(t, burnsWhile(false), 50*time.Millisecond, "control: nothing suspended it; 300 ms on a quiet host")
}

// cpuTime is what a process has used, in ticks of 10 ms.
func cpuTime(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestLingering: a process that cannot be reaped, here because a debugger holds
// it, does not keep the runner, and what the main process said stands.
func TestLingering(t *testing.T) {
	runtime.LockOSThread() // the tracer is this thread
	defer runtime.UnlockOSThread()
	c := sandbox.Command("sh", "-c", "sleep 61 & echo up; read x; exit 7")
	c.CWD = sandbox.CWDNone
	input, feed := io.Pipe()
	c.Stdin = input
	up, killing := make(chan struct{}), make(chan struct{})
	c.Stdout = writerFunc(func(p []byte) (int, error) { close(up); return len(p), nil })
	c.Trace = func(e sandbox.Event) {
		if strings.Contains(e.Text, "killing it") {
			close(killing)
		}
	}
	require.NoError(t, c.Start(t.Context()))
	type end struct {
		res *sandbox.Result
		err error
	}
	ended := make(chan end, 1)
	go func() {
		res, err := c.Wait()
		ended <- end{res, err}
	}()
	<-up
	pid := process(t, "sleep\x0061\x00")
	require.NoError(t, unix.PtraceSeize(pid))
	go func() {
		_, _ = feed.Write([]byte("go\n"))
		feed.Close()
	}()
	begin := time.Now()
	select {
	case <-killing:
	case <-ended:
		require.Fail(t, "nothing lingered")
	case <-time.After(30 * time.Second):
		assert.Fail(t, "init waits for ever")
	}
	took := time.Since(begin)
	// A dead process that is traced is reaped by nobody before its tracer.
	_, err := unix.Wait4(pid, nil, unix.WALL, nil)
	require.NoError(t, err)
	e := <-ended
	require.NoError(t, e.err)
	assert.Equal(t, sandbox.Exited, e.res.Verdict, e.res.Cause)
	if assert.NotNil(t, e.res.ExitCode) {
		assert.Equal(t, 7, *e.res.ExitCode)
	}
	assert.GreaterOrEqual(t, took, 5*time.Second)
	assert.Less(t, e.res.Wall, took, "the clock of the main process")
}

// process finds the process of this command line.
func process(t *testing.T, want string) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		list, err := os.ReadDir("/proc")
		require.NoError(t, err)
		for _, e := range list {
			cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
			if string(cmdline) == want {
				pid, err = strconv.Atoi(e.Name())
				return err == nil
			}
		}
		return false
	}, 10*time.Second, time.Millisecond)
	return pid
}

// TestStdinThatFails: an input that ends with an error is not taken for a whole
// one.
func TestStdinThatFails(t *testing.T) {
	for _, tt := range []struct {
		ends  error
		noted bool
	}{{io.EOF, false}, {errors.New("the disk is gone"), true}} {
		c := sandbox.Command("cat")
		c.CWD = sandbox.CWDNone
		c.Stdin = io.MultiReader(strings.NewReader("half"), iotest.ErrReader(tt.ends))
		out, res, err := c.Output(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "half", string(out))
		assert.Equal(t, tt.noted, strings.Contains(strings.Join(res.Notes, "\n"), "stdin ended early for the job: the disk is gone"), res.Notes)
	}
}

// TestStdinStaysAsItIs: a pipe of the caller's is not made a blocking one, on
// which SetDeadline and Close have no effect any more.
func TestStdinStaysAsItIs(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	_, err = w.WriteString("input")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	c := sandbox.Command("cat")
	c.CWD, c.Stdin = sandbox.CWDNone, r
	out, _, err := c.Output(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "input", string(out), "the control")
	conn, err := r.SyscallConn()
	require.NoError(t, err)
	var flags int
	require.NoError(t, conn.Control(func(fd uintptr) {
		flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0)
	}))
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.O_NONBLOCK)

	// A file that is closed has nothing to say.
	require.NoError(t, r.Close())
	c = sandbox.Command("cat")
	c.CWD, c.Stdin = sandbox.CWDNone, r
	out, _, err = c.Output(t.Context())
	require.NoError(t, err)
	assert.Empty(t, out)
}

func TestSubtreeIsLookedForOnce(t *testing.T) {
	s := &sandbox.Spec{}
	tree, err := sandbox.FindSubtree(s, false)
	tree2, err2 := sandbox.FindSubtree(s, true)
	assert.Same(t, tree, tree2)
	if err != nil { // the very same one, not one that says the same
		assert.Same(t, err, err2)
	}
}

// TestOutputError: the error of a caller's writer comes back, beside what
// became of the job.
func TestOutputError(t *testing.T) {
	mine := &os.PathError{Op: "write", Path: "/mine", Err: syscall.ENOSPC}
	for _, script := range []string{"echo out; exit 3", "echo err >&2; exit 3"} {
		c := sandbox.Command("sh", "-c", script)
		c.CWD = sandbox.CWDNone
		fails := writerFunc(func([]byte) (int, error) { return 0, mine })
		c.Stdout, c.Stderr = fails, fails
		res, err := c.Run(t.Context())
		require.ErrorIs(t, err, unix.ENOSPC)
		var e *sandbox.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "output", e.Stage)
		assert.Equal(t, "/mine", e.Path)
		assert.Equal(t, sandbox.Exited, res.Verdict)
		assert.Equal(t, 3, *res.ExitCode)
	}
}
