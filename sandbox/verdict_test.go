package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// The times of a made-up run: execve is released at one hour, the main process
// ends half a second later.
const (
	testBegun = time.Hour
	testEnded = testBegun + 500*time.Millisecond
)

func known[T any](v T) limits.Opt[T] { return limits.Opt[T]{Value: v, Known: true} }

// ran is a job in the cgroup tier that ended with a wait status and did
// nothing worth telling, changed by more.
func ran(status unix.WaitStatus, more ...func(*evidence)) evidence {
	e := evidence{
		begun:  testBegun,
		exit:   &prog.Exit{Status: status, Ended: testEnded},
		limits: Limits{Pids: 64, Disk: DefaultDisk, Inodes: DefaultInodes},
		cpu:    known(400 * time.Millisecond),
	}
	e.usage.Memory.OOMKills, e.usage.Memory.OwnOOMs = known(uint64(0)), known(uint64(0))
	e.usage.Pids.LimitHits = known(uint64(0))
	for _, m := range more {
		m(&e)
	}
	return e
}

func exited(code int) unix.WaitStatus          { return unix.WaitStatus(code << 8) }
func died(s unix.Signal) unix.WaitStatus       { return unix.WaitStatus(s) }
func dumped(s unix.Signal) unix.WaitStatus     { return unix.WaitStatus(s | 0x80) }
func with(f func(*Limits)) func(*evidence)     { return func(e *evidence) { f(&e.limits) } }
func mem(n limits.Size) func(*evidence)        { return with(func(l *Limits) { l.Memory = n }) }
func wall(d time.Duration) func(*evidence)     { return with(func(l *Limits) { l.Wall = d }) }
func cpuTimed(d time.Duration) func(*evidence) { return with(func(l *Limits) { l.CPUTime = d }) }
func outputMax(n limits.Size) func(*evidence)  { return with(func(l *Limits) { l.Output = n }) }
func burnt(d time.Duration) func(*evidence)    { return func(e *evidence) { e.cpu = known(d) } }
func wrote(n int64) func(*evidence)            { return func(e *evidence) { e.output = n } }
func pidsHit(n uint64) func(*evidence) {
	return func(e *evidence) { e.usage.Pids.LimitHits = known(n) }
}
func killing(e *evidence)                { e.killsCalls = true }
func full(e *evidence)                   { e.diskFull = true }
func noReport(e *evidence)               { e.exit = nil }
func neverBegun(e *evidence)             { e.begun = 0 }
func groupIs(err error) func(*evidence)  { return func(e *evidence) { e.group = err } }
func hostOOM(n uint64) func(*evidence)   { return func(e *evidence) { e.hostOOMs = known(n) } }
func failing(err *Error) func(*evidence) { return func(e *evidence) { e.failure = err } }
func execFails(errno unix.Errno) func(*evidence) {
	return func(e *evidence) {
		e.begun = testBegun
		e.notRun = &Error{Stage: "exec", Op: "execve", Path: "/x", Errno: errno, Hint: "look there"}
	}
}
func initEnds(s unix.WaitStatus) func(*evidence) { return func(e *evidence) { e.initStatus = &s } }

func oom(kills, own uint64) func(*evidence) {
	return func(e *evidence) {
		e.usage.Memory.OOMKills, e.usage.Memory.OwnOOMs = known(kills), known(own)
	}
}

// watchdog takes the counters of a group away.
func watchdog(e *evidence) { e.usage = limits.Usage{} }

// fires adds an order, given so long after the begin of the job.
func fires(by watcher, after time.Duration, value int64, detail ...error) func(*evidence) {
	return func(e *evidence) {
		e.fired = append(e.fired, firing{by: by, at: testBegun + after, value: value, detail: errors.Join(detail...)})
	}
}

// graced makes the orders so far start with SIGTERM.
func graced(e *evidence) {
	for i := range e.fired {
		e.fired[i].graced = true
	}
}

const (
	ms    = time.Millisecond
	early = 300 * ms // while the main process lived
	late  = 700 * ms // when it was dead
	m100  = 100 * limits.MiB
)

var verdictCases = []struct {
	name string
	e    evidence
	want Verdict
}{
	// The job ends by itself.
	{"success", ran(exited(0)), Exited},
	{"failure", ran(exited(1)), Exited},
	{"all limits asked, none reached", ran(exited(0), mem(m100), wall(time.Second), cpuTimed(time.Second), outputMax(10), wrote(10)), Exited},
	{"segmentation fault", ran(dumped(unix.SIGSEGV)), Signaled},
	{"abort", ran(died(unix.SIGABRT)), Signaled},
	{"real-time signal", ran(died(40)), Signaled},
	{"SIGTERM of its own", ran(died(unix.SIGTERM)), Signaled},

	// It poses as something else.
	{"exit 137 poses as SIGKILL", ran(exited(137), mem(m100)), Exited},
	{"exit 152 poses as SIGXCPU", ran(exited(152), cpuTimed(time.Second)), Exited},
	{"exit 159 poses as the filter", ran(exited(159), killing), Exited},
	{"exit 124 poses as a limit", ran(exited(124), wall(time.Second)), Exited},
	{"exit 125 poses as an error of ours", ran(exited(125)), Exited},
	{"exit 127 poses as not found", ran(exited(127)), Exited},
	{"exit 255", ran(exited(255)), Exited},
	{"SIGKILL on itself, under a memory limit", ran(died(unix.SIGKILL), mem(m100)), Signaled},
	{"SIGKILL on itself, under a wall limit", ran(died(unix.SIGKILL), wall(time.Second)), Signaled},
	{"SIGKILL on itself, memory limit was met without a kill", ran(died(unix.SIGKILL), mem(m100), oom(0, 3)), Signaled},
	{"SIGKILL on itself, CPU just below the limit", ran(died(unix.SIGKILL), cpuTimed(time.Second), burnt(999*ms)), Signaled},
	{"SIGXCPU on itself", ran(died(unix.SIGXCPU), cpuTimed(time.Second)), Signaled},
	{"SIGXCPU on itself, no limit asked", ran(died(unix.SIGXCPU), burnt(time.Hour)), Signaled},
	{"SIGXFSZ on itself", ran(died(unix.SIGXFSZ)), Signaled},
	{"SIGXFSZ by --fsize", ran(died(unix.SIGXFSZ), with(func(l *Limits) { l.Rlimits.FSize = new(limits.Size); *l.Rlimits.FSize = limits.MiB })), Signaled},
	{"SIGSEGV under --stack", ran(died(unix.SIGSEGV), with(func(l *Limits) { l.Rlimits.Stack = new(limits.Size); *l.Rlimits.Stack = 8 * limits.MiB })), Signaled},
	{"SIGSYS on itself, no filter kills", ran(died(unix.SIGSYS)), Signaled},
	{"SIGALRM at the wall limit", ran(died(unix.SIGALRM), wall(500*ms)), Signaled},
	{"SIGSTOP in a status is none of ours", ran(0x137f), ErrorVerdict},

	// Memory.
	{"OOM kill of the main process", ran(died(unix.SIGKILL), mem(m100), oom(1, 1)), MemoryLimit},
	{"OOM kill of all, the log tells of whom first", ran(died(unix.SIGKILL), mem(m100), oom(7, 1), func(e *evidence) {
		e.victim = known(limits.Victim{PID: 4711, Name: "evil\x1b[2J"})
	}), MemoryLimit},
	{"OOM kill of all", ran(died(unix.SIGKILL), mem(m100), oom(7, 1)), MemoryLimit},
	{"OOM kill of a child, main exits 0", ran(exited(0), mem(m100), oom(1, 1)), MemoryLimit},
	{"OOM kill of a child, main dies of SIGSEGV", ran(died(unix.SIGSEGV), mem(m100), oom(2, 2)), MemoryLimit},
	{"OOM kill, and CPU time over, too", ran(died(unix.SIGKILL), mem(m100), oom(1, 1), cpuTimed(100*ms)), MemoryLimit},
	{"OOM kill just before the wall limit", ran(died(unix.SIGKILL), mem(m100), oom(1, 1), wall(early), fires(byWall, early, 0)), MemoryLimit},
	{"OOM kill in the grace after the wall limit", ran(died(unix.SIGKILL), mem(m100), oom(1, 1), wall(early), fires(byWall, early, 0), graced), WallTime},
	{"OOM kill in the grace after a cancel", ran(died(unix.SIGKILL), mem(m100), oom(1, 1), fires(byCancel, early, 0, context.Canceled), graced), Canceled},
	{"OOM kill, and output over when it was dead", ran(died(unix.SIGKILL), mem(m100), oom(1, 1), outputMax(9), fires(byOutput, late, 10), graced), MemoryLimit},
	{"OOM kill that takes init along", ran(0, noReport, mem(m100), oom(2, 1), initEnds(died(unix.SIGKILL))), MemoryLimit},
	{"OOM kill before execve", ran(died(unix.SIGKILL), neverBegun, mem(m100), oom(1, 1)), MemoryLimit},
	{"OOM kill, an old kernel does not count the limit", ran(died(unix.SIGKILL), mem(m100), func(e *evidence) {
		e.usage.Memory.OOMKills = known(uint64(1))
		e.usage.Memory.OwnOOMs = limits.Opt[uint64]{}
	}), MemoryLimit},
	{"OOM kill for the caller's limit", ran(died(unix.SIGKILL), mem(m100), oom(1, 0)), Killed},
	{"OOM kill for the caller's limit, main exits 0", ran(exited(0), mem(m100), oom(1, 0)), Killed},
	{"OOM kill of the machine, no limit asked", ran(died(unix.SIGKILL), oom(1, 0)), Killed},
	{"OOM kill, nothing known of the limit, none asked", ran(died(unix.SIGKILL), func(e *evidence) {
		e.usage.Memory.OOMKills = known(uint64(1))
		e.usage.Memory.OwnOOMs = limits.Opt[uint64]{}
	}), Killed},
	{"memory limit met, page cache only", ran(exited(0), mem(m100), func(e *evidence) { e.usage.Memory.LimitHits = known(uint64(1000)) }), Exited},
	{"watchdog sees too much memory", ran(died(unix.SIGKILL), watchdog, mem(m100), fires(byMemory, early, int64(m100)+4096)), MemoryLimit},
	{"the kernel counts memory that cannot be given back", ran(died(unix.SIGKILL), mem(m100), fires(byMemory, early, int64(m100)-4096), func(e *evidence) {
		e.fired[0].kernel, e.fired[0].largest = true, " that cannot be given back"
	}), MemoryLimit},
	{"watchdog names the largest process", ran(died(unix.SIGKILL), watchdog, mem(m100), fires(byMemory, early, int64(m100)+4096), func(e *evidence) {
		e.fired[0].largest = ", most of it in pid 7 (py\x1bthon3)"
	}), MemoryLimit},
	{"watchdog sees too much memory, main exits 0 meanwhile", ran(exited(0), watchdog, mem(m100), fires(byMemory, late, int64(m100)+4096)), MemoryLimit},
	{"machine's OOM killer, watchdog tier", ran(died(unix.SIGKILL), watchdog, mem(m100), hostOOM(1)), Killed},
	{"machine's OOM killer elsewhere, job exits 1", ran(exited(1), watchdog, hostOOM(5)), Exited},
	{"machine's OOM killer elsewhere, the group knows better", ran(died(unix.SIGKILL), hostOOM(5)), Signaled},
	{"machine's OOM killer elsewhere, job aborts", ran(died(unix.SIGABRT), watchdog, hostOOM(1)), Signaled},

	// CPU time.
	{"CPU watcher", ran(died(unix.SIGKILL), cpuTimed(100*ms), burnt(101*ms), fires(byCPUTime, early, int64(101*ms))), CPUTime},
	{"CPU watcher, main handles SIGTERM and exits 0", ran(exited(0), cpuTimed(100*ms), burnt(110*ms), fires(byCPUTime, early, int64(101*ms)), graced), CPUTime},
	{"CPU over, main exits before the watcher", ran(exited(0), cpuTimed(100*ms), burnt(100*ms+1)), CPUTime},
	{"CPU over in children that nobody waited for", ran(exited(0), cpuTimed(100*ms), burnt(630*ms)), CPUTime},
	{"CPU exactly at the limit", ran(exited(0), cpuTimed(100*ms), burnt(100*ms)), Exited},
	{"RLIMIT_CPU, the belt", ran(died(unix.SIGKILL), cpuTimed(time.Second), burnt(2*time.Second)), CPUTime},
	{"RLIMIT_CPU, soft", ran(died(unix.SIGXCPU), cpuTimed(time.Second), burnt(2*time.Second)), CPUTime},
	{"CPU over and exit 139 for a disguise", ran(exited(139), cpuTimed(100*ms), burnt(time.Second)), CPUTime},
	{"CPU unknown", ran(exited(0), cpuTimed(100*ms), func(e *evidence) { e.cpu.Known = false }), Exited},

	// Wall.
	{"wall watcher", ran(died(unix.SIGKILL), wall(early), fires(byWall, early, 0)), WallTime},
	{"wall watcher, main exits 0 on SIGTERM", ran(exited(0), wall(early), fires(byWall, early, 0), graced), WallTime},
	{"wall watcher, main poses as SIGSEGV", ran(died(unix.SIGSEGV), wall(early), fires(byWall, early, 0), graced), WallTime},
	{"wall watcher, job slept", ran(died(unix.SIGKILL), wall(early), burnt(ms), fires(byWall, early, 0)), WallTime},
	{"wall watcher, job hung in a fork bomb", ran(died(unix.SIGKILL), wall(early), pidsHit(3), fires(byWall, early, 0)), WallTime},
	{"wall watcher, init stopped", ran(0, noReport, wall(early), fires(byWall, early, 0), func(e *evidence) { e.initKilled = true }, initEnds(died(unix.SIGKILL))), WallTime},
	{"main ends in time, the watcher is late", ran(exited(0), wall(600*ms), fires(byWall, late, 0)), Exited},
	{"main ends at the moment of the order", ran(exited(0), wall(500*ms), fires(byWall, 500*ms, 0)), Exited},
	{"main ends too late, the runner was stopped", ran(exited(0), wall(early)), WallTime},
	{"main ends too late, and so was the watcher", ran(exited(0), wall(early), fires(byWall, late, 0)), WallTime},
	{"main ends exactly at the limit", ran(exited(0), wall(500*ms)), Exited},
	{"SIGTERM by itself just before the wall limit", ran(died(unix.SIGTERM), wall(600*ms), fires(byWall, late, 0), graced), Signaled},

	// Output, disk, share, filter.
	{"output watcher", ran(died(unix.SIGKILL), outputMax(1000), wrote(65536), fires(byOutput, early, 65536)), OutputLimit},
	{"output read when main had ended", ran(exited(0), outputMax(1000), wrote(1001), fires(byOutput, late, 1001)), OutputLimit},
	{"output over, no watcher", ran(exited(0), outputMax(1000), wrote(1001)), OutputLimit},
	{"output exactly at the limit", ran(exited(0), outputMax(1000), wrote(1000)), Exited},
	{"output truncated", ran(exited(0), outputMax(1000), wrote(1<<40), with(func(l *Limits) { l.TruncateOutput = true })), Exited},
	{"SIGPIPE of its own, output truncated", ran(died(unix.SIGPIPE), outputMax(1000), wrote(1000)), Signaled},
	{"output without a limit", ran(exited(0), wrote(1<<40)), Exited},
	{"disk watcher", ran(died(unix.SIGKILL), fires(byDisk, early, 1<<30)), DiskLimit},
	{"disk full is an errno, not a verdict", ran(exited(1), full), Exited},
	{"disk full and SIGBUS", ran(died(unix.SIGBUS), full), Signaled},
	{"disk full and success", ran(exited(0), full), Exited},
	{"share resisted", ran(died(unix.SIGKILL), watchdog, with(func(l *Limits) { l.CPU = 200 }), fires(byShare, early, int64(31*time.Millisecond))), CPUShare},
	{"filter kills", ran(dumped(unix.SIGSYS), killing), Syscall},
	{"filter asks the runner to kill", ran(died(unix.SIGKILL), killing, fires(bySyscall, early, 0, errors.New("ptrace"))), Syscall},
	{"filter asks, name unknown", ran(died(unix.SIGKILL), killing, fires(bySyscall, early, 0)), Syscall},
	{"filter and wall at once: the first counts", ran(died(unix.SIGKILL), wall(early), fires(bySyscall, 200*ms, 0), fires(byWall, early, 0)), Syscall},

	// The caller.
	{"cancel", ran(died(unix.SIGKILL), fires(byCancel, early, 0, context.Canceled)), Canceled},
	{"cancel, main exits 0 on SIGTERM", ran(exited(0), fires(byCancel, early, 0, errors.New("interrupt")), graced), Canceled},
	{"cancel, a name that would draw on a terminal", ran(exited(0), fires(byCancel, early, 0, errors.New("\x1b[2Jinterrupt\n"))), Canceled}, //nolint:revive,staticcheck // hostile on purpose
	{"cancel without a reason", ran(died(unix.SIGTERM), fires(byCancel, early, 0), graced), Canceled},
	{"cancel when main had ended", ran(exited(3), fires(byCancel, late, 0, context.Canceled)), Exited},
	{"cancel when main had ended, output over", ran(exited(0), outputMax(9), wrote(10), fires(byCancel, late, 0), fires(byOutput, late, 10)), OutputLimit},
	{"cancel, then the wall limit in the grace", ran(died(unix.SIGKILL), wall(400*ms), fires(byCancel, early, 0), fires(byWall, 400*ms, 0), graced), Canceled},
	{"wall limit, then cancel in the grace", ran(died(unix.SIGKILL), wall(early), fires(byWall, early, 0), fires(byCancel, 400*ms, 0), graced), WallTime},
	{"cancel during the launch", ran(0, noReport, neverBegun, fires(byCancel, 0, 0, context.DeadlineExceeded), failing(&Error{Stage: "clone", Err: errors.New("init was killed")})), Canceled},

	// Somebody else.
	{"init gone, SIGKILL", ran(0, noReport, initEnds(died(unix.SIGKILL))), Killed},
	{"init gone, nobody could see how", ran(0, noReport), Killed},
	{"init gone, the machine's OOM killer was about", ran(0, noReport, watchdog, hostOOM(2), initEnds(died(unix.SIGKILL))), Killed},
	{"init gone, CPU time was over", ran(0, noReport, cpuTimed(100*ms), initEnds(died(unix.SIGKILL))), CPUTime},
	{"init gone, the wall limit had not come", ran(0, noReport, wall(early), initEnds(died(unix.SIGKILL))), Killed},
	{"main killed before execve", ran(died(unix.SIGKILL), neverBegun), Killed},
	{"group removed, main exits 0", ran(exited(0), groupIs(fmt.Errorf("group: %w", limits.ErrGone))), Killed},
	{"group removed, main dies of SIGKILL", ran(died(unix.SIGKILL), mem(m100), groupIs(limits.ErrGone)), Killed},
	{"group removed after our order", ran(died(unix.SIGKILL), wall(early), groupIs(limits.ErrGone), fires(byWall, early, 0)), WallTime},
	{"memory.max lowered from outside, OOM kill", ran(died(unix.SIGKILL), mem(m100), oom(1, 1), groupIs(limits.ErrChanged)), Killed},
	{"memory.max raised from outside, main exits 0", ran(exited(0), mem(m100), groupIs(limits.ErrChanged)), Killed},
	{"limits changed, output over", ran(died(unix.SIGKILL), outputMax(9), wrote(10), groupIs(limits.ErrChanged), fires(byOutput, early, 10)), OutputLimit},
	{"memory.max lowered from outside, OOM kill, wall limit", ran(died(unix.SIGKILL), mem(m100), oom(1, 1), wall(early), groupIs(limits.ErrChanged), fires(byWall, early, 0)), WallTime},
	{"group unreadable", ran(exited(0), groupIs(unix.EIO)), ErrorVerdict},

	// Ourselves.
	{"launch failed", ran(0, noReport, neverBegun, failing(&Error{Stage: "root", Op: "mount", Path: "/usr", Errno: unix.EPERM, Hint: "do this"})), ErrorVerdict},
	{"the runner failed while the job ran", ran(exited(0), failing(&Error{Stage: "run", Op: "poll", Errno: unix.ENOMEM})), ErrorVerdict},
	{"the runner failed, a limit was reached before", ran(died(unix.SIGKILL), wall(early), fires(byWall, early, 0), failing(&Error{Stage: "run", Errno: unix.EIO})), ErrorVerdict},
	{"init crashed", ran(0, noReport, initEnds(dumped(unix.SIGSEGV))), ErrorVerdict},
	{"init's filter killed it", ran(0, noReport, initEnds(died(unix.SIGSYS))), ErrorVerdict},
	{"init gave up", ran(0, noReport, initEnds(exited(1))), ErrorVerdict},
	{"init killed by us for no reason", ran(0, noReport, func(e *evidence) { e.initKilled = true }), ErrorVerdict},
	{"the job's process ended before execve", ran(exited(1), neverBegun), ErrorVerdict},
	{"an order of nobody", ran(died(unix.SIGKILL), fires(99, early, 0)), ErrorVerdict},

	// The program.
	{"not found", ran(0, noReport, execFails(unix.ENOENT)), NotStarted},
	{"not executable", ran(0, noReport, execFails(unix.EACCES)), NotStarted},
	{"not executable, job reported", ran(exited(1), execFails(unix.ENOEXEC)), NotStarted},
	{"not found, then canceled", ran(0, noReport, execFails(unix.ENOENT), fires(byCancel, early, 0)), NotStarted},

	// What it met on its way.
	{"task limit, main gives up", ran(exited(2), pidsHit(3)), Exited},
	{"task limit once, main aborts", ran(died(unix.SIGABRT), pidsHit(1)), Signaled},
	{"task limit of a JVM", ran(exited(1), pidsHit(3), func(e *evidence) { e.runtime, e.limits.Pids = runtimeNamed("jvm"), 16 }), Exited},
	{"task limit that is no JVM's fault", ran(exited(1), pidsHit(3), func(e *evidence) { e.runtime = runtimeNamed("jvm") }), Exited},
	{"task limit, main copes", ran(exited(0), pidsHit(1000)), Exited},
	{"task limit, CPU time over", ran(died(unix.SIGKILL), pidsHit(9), cpuTimed(100*ms), fires(byCPUTime, early, int64(101*ms))), CPUTime},
}

func TestDecide(t *testing.T) {
	require.GreaterOrEqual(t, len(verdictCases), 100)
	names := map[string]bool{}
	var b strings.Builder
	for _, c := range verdictCases {
		require.False(t, names[c.name], c.name)
		names[c.name] = true
		v, cause, code, signal, hint := decide(c.e)
		assert.Equal(t, c.want, v, "%s: %s", c.name, cause)
		checkDecision(t, c.e)
		fmt.Fprintf(&b, "%s\n    %s", c.name, v)
		if code != nil {
			fmt.Fprintf(&b, " exit_code=%d", *code)
		}
		if signal != nil {
			fmt.Fprintf(&b, " signal=%d", *signal)
		}
		fmt.Fprintf(&b, ": %s\n", cause)
		if hint != "" {
			fmt.Fprintf(&b, "    hint: %s\n", hint)
		}
	}
	golden(t, "verdict.golden", b.String())
}

// checkDecision states what holds for all evidence.
func checkDecision(t *testing.T, e evidence) {
	v, cause, code, signal, hint := decide(e)
	require.Contains(t, []Verdict{
		Exited, Signaled, CPUTime, WallTime, MemoryLimit, OutputLimit, DiskLimit,
		CPUShare, Syscall, Canceled, Killed, NotStarted, ErrorVerdict,
	}, v)
	require.NotEmpty(t, cause)
	require.Equal(t, printable(cause), cause)
	require.Equal(t, printable(hint), hint)
	require.NotContains(t, cause+hint, "\n")
	require.Equal(t, v == Exited, code != nil)
	if signal != nil {
		require.Equal(t, unix.Signal(*signal), e.exit.Status.Signal())
	}
	switch v {
	case Signaled:
		require.NotNil(t, signal)
	case Exited:
		require.Nil(t, signal)
	case MemoryLimit:
		seen := e.usage.Memory.OOMKills.Value > 0
		for _, f := range e.fired {
			seen = seen || f.by == byMemory
		}
		require.True(t, seen, "a verdict memory without a kill or a measurement")
	case WallTime, CPUTime, OutputLimit:
		l := &e.limits
		fired := len(e.fired) > 0
		require.True(t, fired || l.Wall > 0 || l.CPUTime > 0 || l.Output > 0, "a verdict %s without a limit", v)
	}
}

// The order in which rules are asked: what proves more comes first.
func TestDecideNeverBlamesTheJobForOurFailure(t *testing.T) {
	for _, c := range verdictCases {
		if c.e.notRun != nil || c.e.begun == 0 {
			continue
		}
		e := c.e
		e.failure = &Error{Stage: "run", Err: errors.New("broken")}
		v, _, code, signal, _ := decide(e)
		assert.Equal(t, ErrorVerdict, v, c.name)
		assert.Nil(t, code)
		assert.Nil(t, signal)
	}
}

func TestWatcherNames(t *testing.T) {
	seen := map[string]bool{}
	for w := byCancel; w <= bySyscall; w++ {
		assert.NotEqual(t, "unknown watcher", w.String())
		assert.False(t, seen[w.String()])
		seen[w.String()] = true
	}
	assert.Equal(t, "unknown watcher", watcher(0).String())
}

func FuzzDecide(f *testing.F) {
	f.Add(uint32(0), uint8(0), uint64(0), uint64(0), int64(0), int64(0), uint16(0))
	f.Add(uint32(9), uint8(2), uint64(1), uint64(1), int64(1e9), int64(1e9), uint16(0xffff))
	f.Add(uint32(0x137f), uint8(8), uint64(1), uint64(0), int64(-1), int64(1), uint16(0x5555))
	f.Fuzz(func(t *testing.T, status uint32, by uint8, kills, own uint64, at, amount int64, bits uint16) {
		on := func(i int) bool { return bits>>i&1 == 1 }
		e := ran(unix.WaitStatus(status), oom(kills, own), burnt(time.Duration(amount)), wrote(amount))
		for i, m := range []func(*evidence){
			noReport, neverBegun, killing, full, watchdog, mem(m100), wall(ms), cpuTimed(ms), outputMax(1),
			fires(watcher(by), time.Duration(at%1e12), amount), graced, hostOOM(kills), pidsHit(own),
			initEnds(unix.WaitStatus(status >> 16)), groupIs(limits.ErrGone), groupIs(unix.EIO),
		} {
			if on(i) {
				m(&e)
			}
		}
		checkDecision(t, e)
	})
}
