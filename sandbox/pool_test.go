package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

func newPool(t *testing.T, s sandbox.Spec, o sandbox.PoolOptions) *sandbox.Pool {
	t.Helper()
	p, err := sandbox.NewPool(s, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// awaitReady waits until n sandboxes are ready.
func awaitReady(t *testing.T, p *sandbox.Pool, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return p.Stats().Ready >= n || p.Stats().Err != nil }, 20*time.Second, time.Millisecond)
	require.NoError(t, p.Stats().Err)
}

// inPool runs a script in a sandbox that was ready.
func inPool(t *testing.T, p *sandbox.Pool, script string, set func(*sandbox.Cmd)) (string, *sandbox.Result) {
	t.Helper()
	awaitReady(t, p, 1)
	c := p.Command("sh", "-c", script)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if set != nil {
		set(c)
	}
	r, err := c.Run(t.Context())
	require.NoError(t, err)
	require.NotNil(t, r.Startup)
	require.True(t, r.Startup.Pooled, "%+v", p.Stats())
	return out.String(), r
}

func TestPoolGivesWhatComesLate(t *testing.T) {
	p := newPool(t, sandbox.Spec{}, sandbox.PoolOptions{Most: 2})
	out, r := inPool(t, p, `echo "$0 $X $(pwd)"; cat; ls -l /proc/self/fd | wc -l; exit 3`, func(c *sandbox.Cmd) {
		c.Env, c.Workdir, c.Stdin = append(sandbox.DefaultEnv(), "X=y"), "/tmp", strings.NewReader("input\n")
	})
	assert.Equal(t, "sh y /tmp\ninput\n5\n", out, "and no descriptor but its streams and that of ls")
	assert.Equal(t, 3, *r.ExitCode)
	out, _ = inPool(t, p, `cat; readlink /proc/self/fd/0`, nil)
	assert.Equal(t, "/dev/null\n", out)
	_, r = inPool(t, p, "ulimit -t; while :; do :; done", func(c *sandbox.Cmd) { c.Limits.CPUTime = 50 * time.Millisecond })
	assert.Equal(t, sandbox.CPUTime, r.Verdict)
	assert.Contains(t, fmt.Sprint(r.Notes), "wall limit 1.15s")
	_, r = inPool(t, p, "sleep 60", func(c *sandbox.Cmd) { c.Limits.Wall = 50 * time.Millisecond })
	assert.Equal(t, sandbox.WallTime, r.Verdict)
	out, r = inPool(t, p, "echo 1234567890", func(c *sandbox.Cmd) { c.Limits.Output, c.Limits.TruncateOutput = 4, true })
	assert.Equal(t, sandbox.Exited, r.Verdict)
	assert.Equal(t, "1234", out)
}

// TestPoolMakesTheSameSandbox: what a job sees of itself does not tell whether
// its sandbox was waiting for it.
func TestPoolMakesTheSameSandbox(t *testing.T) {
	const script = `
		cut -d' ' -f4- /proc/self/mountinfo | sed 's/0:[0-9]*//'
		grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Sig|NStgid|NSpid|Pid|PPid)' /proc/self/status
		cat /proc/self/limits /proc/self/oom_score_adj /proc/sys/user/max_*_namespaces
		cat /etc/passwd /etc/hosts; hostname; env; pwd; ls / /dev /proc/self/fd; cat /proc/1/comm; umask; echo $$`
	spec := sandbox.Spec{Limits: sandbox.Limits{Pids: 50}}
	if !lane.Has("tmpfs-upper").Yes {
		spec.CWD = sandbox.CWDReadOnly // as it is in a pool, while others get a copy
	}
	p := newPool(t, spec, sandbox.PoolOptions{Most: 1})
	set := func(c *sandbox.Cmd) { c.Limits.CPUTime, c.Stdin = time.Minute, strings.NewReader("") }
	warm, rw := inPool(t, p, script, set)
	c := sandbox.Command("sh", "-c", script)
	c.Spec.Limits, c.Spec.CWD = spec.Limits, spec.CWD
	set(c)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	rc, err := c.Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, out.String(), warm)
	assert.Contains(t, warm, "Seccomp:\t2")
	assert.Equal(t, rc.Confinement, rw.Confinement)
	assert.Equal(t, rc.Limits, rw.Limits)
	assert.Equal(t, rc.Identity, rw.Identity)
	assert.Equal(t, rc.Notes, rw.Notes)
}

func TestPoolLaunchesColdWhatDoesNotFit(t *testing.T) {
	p := newPool(t, sandbox.Spec{CWD: sandbox.CWDNone}, sandbox.PoolOptions{Most: 1})
	for name, set := range map[string]func(*sandbox.Cmd){
		"shaped otherwise": func(c *sandbox.Cmd) { c.Hostname = "other" },
		"too much to say": func(c *sandbox.Cmd) {
			c.Args = append(c.Args, strings.Repeat("x", 100<<10), strings.Repeat("x", 100<<10))
		},
	} {
		awaitReady(t, p, 1)
		c := p.Command("true")
		set(c)
		r, err := c.Run(t.Context())
		require.NoError(t, err, name)
		assert.Equal(t, sandbox.Exited, r.Verdict, name)
		assert.False(t, r.Startup.Pooled, name)
	}
	awaitReady(t, p, 1)
	c := p.Command("no-such-program")
	r, err := c.Run(t.Context())
	var e *sandbox.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "exec", e.Stage)
	assert.NotEmpty(t, e.Hint)
	assert.Equal(t, sandbox.NotStarted, r.Verdict)
	_, err = sandbox.NewPool(sandbox.Spec{Hostname: "a b"}, sandbox.PoolOptions{})
	require.Error(t, err)
	require.NoError(t, p.Close())
	r, err = p.Command("true").Run(t.Context())
	require.NoError(t, err, "a closed pool")
	assert.False(t, r.Startup.Pooled)
}

// TestPoolReplacesWhatSomeoneEnded: a ready sandbox that is dead costs time, not
// a job.
func TestPoolReplacesWhatSomeoneEnded(t *testing.T) {
	p := newPool(t, sandbox.Spec{CWD: sandbox.CWDNone}, sandbox.PoolOptions{Most: 1})
	awaitReady(t, p, 1)
	sandbox.KillReady(p)
	r, err := p.Command("true").Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, sandbox.Exited, r.Verdict)
	assert.Equal(t, 1, p.Stats().Lost)
}

// TestPoolUnderLoad: many jobs at once, some hostile, each in a sandbox of its
// own.
func TestPoolUnderLoad(t *testing.T) {
	p := newPool(t, sandbox.Spec{CWD: sandbox.CWDNone, Limits: sandbox.Limits{Pids: 30}}, sandbox.PoolOptions{Most: 8})
	scripts := []string{
		`[ ! -e /tmp/seen ] && touch /tmp/seen && echo clean`,
		`setsid sh -c 'sleep 1000' & echo clean`,
		`for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo clean; kill -9 -1`,
		`kill -9 1; kill -STOP 1; echo clean`,
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				c := p.Command("sh", "-c", scripts[(w+i)%len(scripts)])
				out, _, err := c.Output(t.Context())
				if assert.NoError(t, err) {
					assert.Equal(t, "clean\n", string(out))
				}
			}
		})
	}
	wg.Wait()
	s := p.Stats()
	assert.Positive(t, s.Taken)
	assert.Equal(t, 100, s.Taken+s.Missed)
	assert.Zero(t, s.Lost)
}

// TestPoolAdapts: a Cmd that finds none makes the pool bigger, up to its bound;
// idleness lets all go, and the next Cmd is launched cold and begins again.
func TestPoolAdapts(t *testing.T) {
	const most = 3
	p := newPool(t, sandbox.Spec{CWD: sandbox.CWDNone}, sandbox.PoolOptions{Most: most})
	first := p.Target()
	awaitReady(t, p, first)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var jobs []*sandbox.Cmd
	for p.Target() < most || p.Stats().Missed == 0 { // one after the other, so that at last one finds none
		c := p.Command("sleep", "1000")
		require.NoError(t, c.Start(ctx))
		jobs = append(jobs, c)
	}
	awaitReady(t, p, most)
	assert.Equal(t, most, p.Stats().Ready, "no more than the bound")
	cancel()
	for _, c := range jobs {
		_, err := c.Wait()
		require.NoError(t, err)
	}
	for range 4 {
		p.Idle()
	}
	assert.Zero(t, p.Target())
	assert.Zero(t, p.Stats().Ready)
	before := p.Stats()
	r, err := p.Command("true").Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, sandbox.Exited, r.Verdict)
	assert.False(t, r.Startup.Pooled, "cold")
	assert.Equal(t, before.Missed+1, p.Stats().Missed)
	awaitReady(t, p, 1)
	_, r = inPool(t, p, "true", nil)
	assert.Equal(t, sandbox.Exited, r.Verdict)
}

func TestPoolLeavesNothing(t *testing.T) {
	run := func() {
		p, err := sandbox.NewPool(sandbox.Spec{}, sandbox.PoolOptions{Most: 4})
		require.NoError(t, err)
		for range 6 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			_, err := p.Command("sleep", "60").Run(ctx)
			require.NoError(t, err)
			cancel()
		}
		require.NoError(t, p.Close())
	}
	run()
	fds, goroutines, mappings, children := holdings(t)
	for range 5 {
		run()
	}
	fds2, goroutines2, mappings2, children2 := holdings(t)
	assert.Equal(t, fds, fds2, "descriptors")
	assert.Less(t, goroutines2, goroutines+5, "goroutines: one that a pool leaves would be there 5 times, one that is ending is not")
	assert.Equal(t, mappings, mappings2, "tables")
	assert.Equal(t, children, children2, "children")
}

// TestPoolIgnoresOtherDirectory: a pool shows one directory, the process may be
// in another by now.
func TestPoolIgnoresOtherDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	p := newPool(t, sandbox.Spec{}, sandbox.PoolOptions{Most: 1})
	awaitReady(t, p, 1)
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("here", nil, 0o644))
	c := p.Command("ls")
	out, r, err := c.Output(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "here\n", string(out))
	assert.False(t, r.Startup.Pooled)
}

// TestHelperPool is no test: TestPoolCrash starts it in a process of its own.
func TestHelperPool(t *testing.T) {
	if os.Getenv("JAILRUN_TEST_POOL") == "" {
		return
	}
	p, err := sandbox.NewPool(sandbox.Spec{CWD: sandbox.CWDNone}, sandbox.PoolOptions{Most: 4})
	require.NoError(t, err)
	awaitReady(t, p, 1) // the number that a pool begins with on a host with one CPU
	fmt.Println("up")
	select {}
}

// TestPoolCrash: the ready sandboxes end with the program that keeps them.
func TestPoolCrash(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHelperPool$", "-test.count=1")
	cmd.Env = append(os.Environ(), "JAILRUN_TEST_POOL=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "up\n", line)
	waiting := descendants(t, cmd.Process.Pid)
	assert.GreaterOrEqual(t, len(waiting), 2, "an init and a job each")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, fd := range waiting {
		assert.True(t, lane.Ended(t, fd), "a process is still there")
		unix.Close(fd)
	}
}

// descendants returns pidfds of the children of a process, and of theirs.
func descendants(t *testing.T, pid int) (fds []int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(t, err)
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for f := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(f)
			require.NoError(t, err)
			fd, err := unix.PidfdOpen(child, 0)
			require.NoError(t, err)
			fds = append(append(fds, fd), descendants(t, child)...)
		}
	}
	return fds
}
