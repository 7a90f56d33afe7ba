// Package crash interferes with jailrun itself, at each of its system calls:
// its parts are killed, stopped, made to panic, and each call fails in turn.
// Whatever happens, nothing of a run stays, and nothing gets weaker.
package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
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
	hostdiff.Main(m, "jailrun-net")
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

// A place is where a row of a matrix is made: whose run, and with what network.
type place struct {
	id  hostdiff.Identity
	net string // "" for none
}

// each makes a test at every place, or at two of which each has half of what
// there is.
func each(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	needs(t)
	hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		for _, net := range []string{"", "slirp"} {
			t.Run(map[string]string{"": "alone", "slirp": "slirp"}[net], func(t *testing.T) {
				p := place{id, net}
				if !everything && p != (place{hostdiff.Self, ""}) && p != (place{hostdiff.Block, "slirp"}) {
					t.Skip("JAILRUN_TEST_ALL=1 makes it here, too")
				}
				if net != "" {
					needsNetwork(t)
				}
				test(t, p)
			})
		}
	})
}

func needsNetwork(t *testing.T) {
	t.Helper()
	for _, program := range []string{"slirp4netns", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	lane.Require(t, "tun")
}

// args are those of jailrun at a place.
func (p place) args(args []string) []string {
	if p.net == "" {
		return args
	}
	return append([]string{"--net", p.net}, args...)
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
	cmd.Stdin = strings.NewReader("done\n")
	if here.Root() && id != hostdiff.Block {
		cmd.Env = append(cmd.Env, "JAILRUN_CRASH_UID="+strconv.Itoa(here.UID))
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Cancel = func() error { return whereIsIt(cmd.Process.Pid) }
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
	if ctx.Err() != nil {
		t.Errorf("%+v: it hangs: %s %s", o, report, errs.String())
		return trace{Code: 0, Hit: string(report)}, "", errs.String()
	}
	require.NoError(t, err, "%+v: %s", o, errs.String())
	if o.Nth > 0 && bytes.HasPrefix(report, []byte{'"'}) {
		_, report, _ = bytes.Cut(report, []byte("\n"))
	}
	require.NoError(t, json.Unmarshal(report, &tr), "%s", errs.String())
	here.Ran(tr.PID)
	return tr, out.String(), errs.String()
}

// whereIsIt has a runner that hangs say where: the Go runtime ends with the
// stacks of all goroutines. Its tracer ends with it, or after a while.
func whereIsIt(tracer int) error {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", tracer, tracer))
	for pid := range strings.FieldsSeq(string(children)) {
		n, _ := strconv.Atoi(pid)
		err = errors.Join(err, unix.Kill(n, unix.SIGABRT))
	}
	return err
}

// through is a run that comes through every stage and leaves somebody behind.
// The runner has to do something for its program to end: pass on a line.
var through = []string{"--cwd", "none", "--wall", "60", "--", "/bin/sh", "-c", "setsid sleep 1000 & read line; echo $line"}

// parts of a run: the helper is what holds a user namespace, or is about to
// become another program.
var parts = []string{"runner", "helper", "init", "job"}

// calls are those of each part in an undisturbed run, and what it printed.
func calls(t *testing.T, id hostdiff.Identity, args []string) (counts map[string][]string, stdout string) {
	t.Helper()
	before := hostdiff.Here.Take(t)
	tr, stdout, errs := traced(t, id, order{}, args...)
	require.Equal(t, 0, tr.Code, errs)
	hostdiff.Here.AssertSame(t, before)
	for _, role := range parts {
		t.Logf("%d calls of the %s", len(tr.Calls[role]), role)
	}
	for _, role := range []string{"runner", "init", "job"} {
		require.Greater(t, len(tr.Calls[role]), 40, role)
	}
	return tr.Calls, stdout
}

// A cell is a call of a part, the nth of a phase.
type cell struct {
	at, phase string
	nth       int
}

// cells lists the calls at which to interfere: of each phase so many, or, for
// the whole matrix, every so-manieth.
func cells(at string, calls []string, few, step int) (list []cell) {
	counts := map[string]int{}
	for _, phase := range calls {
		counts[phase]++
	}
	for _, phase := range slices.Sorted(maps.Keys(counts)) {
		by := step
		if !everything {
			by = (counts[phase] + few - 1) / few
		}
		first := by / 2
		if at == "runner" { // whose calls are never as many as before: the first is one that there is
			first = 0
		}
		for n := first; n < counts[phase]; n += by {
			list = append(list, cell{at, phase, n + 1})
		}
	}
	return list
}

// TestCrash is F01, F05, F06 and F32: the runner is killed, told to end,
// stopped for a while and made to panic, at each of its calls and of those of
// its parts; and so are init and the job.
func TestCrash(t *testing.T) {
	each(t, func(t *testing.T, p place) {
		args := p.args(through)
		counts, _ := calls(t, p.id, args)
		for _, c := range []struct {
			whom   string
			signal unix.Signal
			at     []string
			step   int   // of the whole matrix
			codes  []int // -1: a signal
		}{
			{"runner", unix.SIGKILL, parts, 1, []int{-1}},
			{"runner", unix.SIGTERM, parts, 5, []int{-1, 0, 143, 125}},
			{"runner", unix.SIGABRT, parts, 5, []int{-1, 2}}, // the end of a Go program that panics
			{"runner", unix.SIGSTOP, parts, 5, []int{0}},
			{"init", unix.SIGKILL, []string{"init", "job"}, 2, []int{0, 125, 137}},
			{"job", unix.SIGKILL, []string{"job"}, 2, []int{125, 137}},
		} {
			t.Run(c.whom+" "+unix.SignalName(c.signal), func(t *testing.T) {
				worst, made := time.Duration(0), 0
				phases := map[string]bool{}
				for _, at := range c.at {
					for _, x := range cells(at, counts[at], 1, c.step) {
						took, hit := crash(t, p.id, order{At: x.at, Phase: x.phase, Nth: x.nth, Signal: c.signal, Whom: c.whom}, c.codes, args)
						worst = max(worst, took)
						if hit {
							phases[x.phase] = true
							made++
						}
					}
				}
				t.Logf("%d cells, in %d phases; within %v of the runner's end the host was as before", made, len(phases), worst.Round(time.Millisecond))
				if c.whom == "runner" {
					for _, phase := range []string{inPreparation, withInit, withJob, whileItRuns, afterwards} {
						assert.Contains(t, phases, phase)
					}
				}
			})
		}
	})
}

// crash makes one cell, and reports after what time the host was as before, and
// whether the run had that call at all.
func crash(t *testing.T, id hostdiff.Identity, o order, codes []int, args []string) (took time.Duration, hit bool) {
	t.Helper()
	here := hostdiff.Here
	before := here.Take(t)
	tr, out, errs := traced(t, id, o, args...)
	begin := time.Now()
	collect(t, id)
	here.AssertSame(t, before)
	took = time.Since(begin)
	what := fmt.Sprintf("%s to the %s at call %d of the %s, %s, %s: code %d\n%s", unix.SignalName(o.Signal), o.Whom, o.Nth, o.At, o.Phase, tr.Hit, tr.Code, errs)
	if tr.Hit == "" { // this run made fewer calls: nobody interfered
		assert.Zero(t, tr.Code, what)
	} else {
		assert.Contains(t, codes, tr.Code, what)
	}
	if tr.Code == 0 {
		assert.Equal(t, "done\n", out, what)
	}
	hostdiff.Bury()
	if t.Failed() {
		t.FailNow()
	}
	return took, tr.Hit != ""
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
	each(t, func(t *testing.T, p place) {
		args := p.args(hostdiff.Here.With([]string{"--wall", "60"}, "/attack", "posture"))
		counts, want := calls(t, p.id, args)
		for _, at := range parts {
			t.Run(at, func(t *testing.T) {
				ended := map[string]int{}
				for i, x := range cells(at, counts[at], 2, 1) {
					list := errnos
					if !everything || p != (place{hostdiff.Self, ""}) {
						list = errnos[i%len(errnos):][:1]
					}
					for _, errno := range list {
						ended[inject(t, p.id, order{At: x.at, Phase: x.phase, Nth: x.nth, Errno: errno}, args, stable(want))]++
					}
				}
				t.Logf("%d failed with an error of jailrun's, %d ended as ever with every wall, %d ended the Go runtime", ended["clean"], ended["unharmed"], ended["runtime"])
			})
		}
	})
}

// inject makes one cell, and says how it ended.
func inject(t *testing.T, id hostdiff.Identity, o order, args []string, want string) (ended string) {
	t.Helper()
	here := hostdiff.Here
	before := here.Take(t)
	tr, out, errs := traced(t, id, o, args...)
	var wrong string
	switch {
	case tr.Code == 0:
		ended = "unharmed"
		if got := stable(out); got != want {
			wrong = "less confined, or otherwise:\n" + strings.Join(hostdiff.Diff(lines(want), lines(got)), "\n")
		}
	case slices.Contains([]string{"runner", "helper"}, o.At) && slices.Contains([]int{-1, 2, 3, 4, 5}, tr.Code) && fatal(errs):
		ended = "runtime"
	default:
		ended = "clean"
		if !slices.Contains([]int{125, 126, 127, 137}, tr.Code) || !strings.Contains(errs, "jailrun: ") {
			wrong = "no error of jailrun's"
		}
	}
	if ended == "runtime" || strings.HasPrefix(tr.Hit, fmt.Sprintf("call %d ", unix.SYS_UNLINKAT)) {
		collect(t, id) // who could not remove, or died, leaves a group to the next
	}
	if !here.AssertSame(t, before) && wrong == "" {
		wrong = "something is left"
	}
	hostdiff.Bury()
	if wrong != "" {
		t.Errorf("%s fails with %s at the %s's call %d %s: code %d, %s\n%.1000s", tr.Hit, unix.ErrnoName(o.Errno), o.At, o.Nth, o.Phase, tr.Code, wrong, errs)
	}
	return ended
}

// lines makes a posture comparable.
func lines(posture string) hostdiff.Picture {
	p := hostdiff.Picture{}
	for line := range strings.Lines(posture) {
		p[strings.TrimSpace(line)] = ""
	}
	return p
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
		line = strings.Replace(line, " 0=/dev/null/0 ", " 0=pipe/0 ", 1) // a stdin that cannot be looked at is copied
		if !strings.HasPrefix(line, "host:") && !strings.HasPrefix(line, "threads differ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
