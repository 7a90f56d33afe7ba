// Package crash interferes with jailrun itself, at each of its system calls:
// its parts are killed, stopped, made to panic, and each call fails in turn.
// Whatever happens, nothing of a run stays, and nothing gets weaker.
package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/hostdiff"
	"github.com/jailrun/jailrun/tests/lane"
)

func TestMain(m *testing.M) {
	if os.Getenv(tracerEnv) != "" {
		if err := traceMain(); err != nil {
			fmt.Fprintln(os.Stderr, "tracer:", err)
			os.Exit(99)
		}
		os.Exit(0)
	}
	hostdiff.Main(m)
}

// everything makes it the whole matrix instead of a sample.
var everything = os.Getenv("JAILRUN_TEST_ALL") != ""

func needs(t *testing.T) {
	t.Helper()
	lane.Require(t, "userns", "proc")
	if lane.Name() == "uml" || lane.Name() == "systemd" {
		t.Skip("ptrace of User Mode Linux is not that of the processor")
	}
}

// sampled leaves the other identities to the whole matrix: under the tracer a
// run takes half a second.
func sampled(t *testing.T, id hostdiff.Identity) {
	t.Helper()
	if id != hostdiff.Self && !everything {
		t.Skip("JAILRUN_TEST_ALL=1 makes it also under this identity")
	}
}

// traced runs jailrun under a tracer.
func traced(t *testing.T, id hostdiff.Identity, o order, args ...string) (tr trace, stdout, stderr string) {
	t.Helper()
	here := hostdiff.Here
	text, err := json.Marshal(o)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), hostdiff.Patience)
	defer cancel()
	inner := here.Jailrun(ctx, id, args...)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{inner.Path}, inner.Args[1:]...)...)
	cmd.Env = []string{tracerEnv + "=" + string(text), "HOME=" + here.Home}
	cmd.Dir = "/"
	if here.Root() && id != hostdiff.Block {
		cmd.Env = append(cmd.Env, "JAILRUN_CRASH_UID="+strconv.Itoa(here.UID))
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 10 * time.Second
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w}
	require.NoError(t, cmd.Start())
	w.Close()
	report, err := io.ReadAll(r)
	require.NoError(t, err)
	err = cmd.Wait()
	require.NoError(t, ctx.Err(), "%+v: it hangs: %s", o, errs.String())
	require.NoError(t, err, "%+v: %s", o, errs.String())
	require.NoError(t, json.Unmarshal(report, &tr), "%s", errs.String())
	return tr, out.String(), errs.String()
}

// through is a run that comes through every stage and leaves somebody behind.
var through = []string{"--cwd", "none", "--wall", "60", "--", "/bin/sh", "-c", "setsid sleep 1000 & echo done"}

// calls counts the calls of each part in an undisturbed run.
func calls(t *testing.T, id hostdiff.Identity, args []string) map[string]int {
	t.Helper()
	tr, _, errs := traced(t, id, order{}, args...)
	require.Equal(t, 0, tr.Code, errs)
	t.Logf("%s: %d calls of the runner, %d of init, %d of the job", id, tr.Calls["runner"], tr.Calls["init"], tr.Calls["job"])
	for _, role := range []string{"runner", "init", "job"} {
		require.Greater(t, tr.Calls[role], 40, role)
	}
	return tr.Calls
}

// nth lists the calls of a part at which to interfere: all, or a sample.
func nth(count, sample int) []int {
	step := 1
	if !everything {
		step = max(1, count/sample)
	}
	var list []int
	for n := 1; n <= count; n += step {
		list = append(list, n)
	}
	return list
}

// TestCrash is F01, F05, F06 and F32: the runner is killed, told to end,
// stopped for a while and made to panic at its every call, and so are init and
// the job.
func TestCrash(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		sampled(t, id)
		counts := calls(t, id, through)
		for _, c := range []struct {
			name   string
			order  order
			sample int
			codes  []int // -1: a signal
		}{
			{"runner killed", order{Role: "runner", Signal: unix.SIGKILL}, 10, []int{-1}},
			{"runner told to end", order{Role: "runner", Signal: unix.SIGTERM}, 4, []int{-1, 0, 143, 125}},
			{"runner panics", order{Role: "runner", Signal: unix.SIGABRT}, 4, []int{-1, 2}},
			{"runner stopped for a while", order{Role: "runner", Hold: true}, 3, []int{0}},
			{"init killed", order{Role: "init", Signal: unix.SIGKILL}, 5, []int{0, 125, 137}},
			{"job killed", order{Role: "job", Signal: unix.SIGKILL}, 4, []int{125, 137}},
		} {
			t.Run(c.name, func(t *testing.T) {
				worst := time.Duration(0)
				for _, n := range nth(counts[c.order.Role], c.sample) {
					c.order.Nth = n
					before := here.Take(t)
					tr, out, errs := traced(t, id, c.order, through...)
					begin := time.Now()
					collect(t, id)
					here.AssertSame(t, before)
					worst = max(worst, time.Since(begin))
					if tr.Hit == "" { // this run made fewer calls: nobody interfered
						assert.Zero(t, tr.Code, errs)
					} else {
						assert.Contains(t, c.codes, tr.Code, "call %d, %s: %s", n, tr.Hit, errs)
					}
					if tr.Code == 0 {
						assert.Equal(t, "done\n", out, "call %d, %s: %s", n, tr.Hit, errs)
					}
					hostdiff.Bury()
					if t.Failed() {
						t.Fatalf("stopped at call %d: %s: code %d\n%s", n, tr.Hit, tr.Code, errs)
					}
				}
				t.Logf("after the runner's end the host was as before within %v", worst.Round(time.Millisecond))
			})
		}
	})
}

// collect sweeps the groups that a crashed run leaves; processes go by
// themselves.
func collect(t *testing.T, id hostdiff.Identity) {
	t.Helper()
	cmd := exec.Command(hostdiff.Here.Bin+"/jailrun", "gc")
	hostdiff.Here.As(cmd, id)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// errnos are the failures of which each call has one in the sample and all in
// the whole matrix.
var errnos = []unix.Errno{unix.ENOSYS, unix.EPERM, unix.ENOMEM, unix.ENOSPC, unix.EMFILE}

// TestInjection is F23 and F37: each call of each part fails once. Either
// jailrun says at which stage, or the job is confined exactly as ever.
func TestInjection(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		sampled(t, id)
		if id == hostdiff.Block {
			t.Skip("the helper that makes the id-mapped mounts of a run by root is no part of the sandbox, and is not told apart from init here")
		}
		args := here.With([]string{"--wall", "60"}, "/attack", "posture")
		counts := calls(t, id, args)
		_, want, _ := traced(t, id, order{}, args...)
		for _, role := range []string{"runner", "init", "job"} {
			t.Run(role, func(t *testing.T) {
				clean, unharmed, goRuntime := 0, 0, 0
				for i, n := range nth(counts[role], 8) {
					list := errnos
					if !everything {
						list = errnos[i%len(errnos):][:1]
					}
					for _, errno := range list {
						before := here.Take(t)
						tr, out, errs := traced(t, id, order{Role: role, Nth: n, Errno: errno}, args...)
						here.AssertSame(t, before)
						hostdiff.Bury()
						what := fmt.Sprintf("call %d of %s, %s, fails with %s: code %d\n%s", n, role, tr.Hit, unix.ErrnoName(errno), tr.Code, errs)
						switch {
						case tr.Code == 0:
							unharmed++
							assert.Equal(t, stable(want), stable(out), what)
						case role == "runner" && (tr.Code == 2 || tr.Code == -1) && fatal(errs):
							goRuntime++
						default:
							clean++
							assert.Contains(t, []int{125, 126, 127, 137}, tr.Code, what)
							assert.Contains(t, errs, "jailrun: ", what)
						}
						if t.Failed() {
							t.Fatal(what)
						}
					}
				}
				t.Logf("%d failed with an error of jailrun's, %d ended as ever with every wall, %d ended the Go runtime", clean, unharmed, goRuntime)
			})
		}
	})
}

// fatal reports whether the Go runtime gave up: it makes calls of its own,
// without which it cannot go on.
func fatal(stderr string) bool {
	return stderr == "" || strings.Contains(stderr, "runtime") || strings.Contains(stderr, "fatal error") || strings.Contains(stderr, "failed to")
}

// stable leaves out what differs between two runs.
func stable(posture string) string {
	var lines []string
	for line := range strings.Lines(posture) {
		if !strings.HasPrefix(line, "host:") && !strings.HasPrefix(line, "threads differ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
