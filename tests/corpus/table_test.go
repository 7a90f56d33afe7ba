package corpus

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

const (
	ms = time.Millisecond

	cpuLimit  = 200 * ms
	wallLimit = 400 * ms
)

func wall(l *sandbox.Limits)    { l.Wall = wallLimit }
func cpuTime(l *sandbox.Limits) { l.CPUTime, l.Wall = cpuLimit, 2*time.Minute }
func output(l *sandbox.Limits)  { l.Output, l.TruncateOutput = 100*limits.KiB, false }

// all are the limits that a disguise might pose as, with room enough.
func all(l *sandbox.Limits) {
	l.CPUTime, l.Wall, l.Memory, l.Output, l.TruncateOutput = 20*time.Second, time.Minute, 256*limits.MiB, limits.MiB, false
}

// deathRows end by themselves, some in disguise.
var deathRows = []row{
	{name: "success", run: c("exit", 0), want: sandbox.Exited},
	{name: "failure", run: c("exit", 1), want: sandbox.Exited, code: 1},
	{name: "exit 124 poses as a limit", run: c("exit", 124), limit: all, want: sandbox.Exited, code: 124},
	{name: "exit 125 poses as jailrun", run: c("exit", 125), limit: all, want: sandbox.Exited, code: 125},
	{name: "exit 137 poses as SIGKILL", run: c("exit", 137), limit: all, want: sandbox.Exited, code: 137},
	{name: "exit 152 poses as SIGXCPU", run: c("exit", 152), limit: all, want: sandbox.Exited, code: 152},
	{name: "exit 159 poses as the filter", run: c("exit", 159), limit: all, want: sandbox.Exited, code: 159},
	{name: "SIGKILL on itself", run: c("signal", 9), limit: all, want: sandbox.Signaled, sig: 9},
	{name: "SIGXCPU on itself", run: c("signal", 24), limit: all, want: sandbox.Signaled, sig: 24},
	{name: "SIGXFSZ on itself", run: c("signal", 25), limit: all, want: sandbox.Signaled, sig: 25},
	{name: "SIGSYS on itself", run: c("signal", 31), limit: all, want: sandbox.Signaled, sig: 31},
	{name: "SIGTERM on itself", run: c("signal", 15), limit: all, want: sandbox.Signaled, sig: 15},
	{name: "SIGALRM on itself", run: c("signal", 14), limit: all, want: sandbox.Signaled, sig: 14},
	{name: "SIGPIPE on itself", run: c("signal", 13), limit: all, want: sandbox.Signaled, sig: 13},
	{name: "a real-time signal on itself", run: c("signal", 40), limit: all, want: sandbox.Signaled, sig: 40},
	{name: "poses as init and dies of SIGKILL", run: c("pose", 9), limit: all, want: sandbox.Signaled, sig: 9},
	{name: "abort", run: c("signal", 6), want: sandbox.Signaled, sig: 6},
	{name: "null pointer", run: c("null"), want: sandbox.Signaled, sig: 11},
	{name: "division by zero", run: c("divide", 1), want: sandbox.Signaled, sig: 8},
	{name: "endless recursion", run: c("recurse"), want: sandbox.Signaled, sig: 11},
	{name: "illegal instruction", run: c("illegal"), want: sandbox.Signaled, sig: 4},
	{name: "beyond the end of a mapped file", run: c("beyond"), want: sandbox.Signaled, sig: 7},
	{name: "a thread exits for all", run: c("thread-exits", 3), want: sandbox.Exited, code: 3},
	{name: "the main thread ends first", run: c("main-thread-exits", 4), want: sandbox.Exited, code: 4},
	{name: "a child kills it", run: c("child-kills", 9), limit: all, want: sandbox.Signaled, sig: 9},
	{name: "signals init with everything", run: c("kill-init", 5), want: sandbox.Exited, code: 5},
	{name: "kills all others", run: c("kill-all", 6), want: sandbox.Exited, code: 6},
	{name: "executes itself again and again", run: c("again", 50), want: sandbox.Exited},
	{name: "a file beyond its limit", run: c("file"), limit: func(l *sandbox.Limits) {
		size := limits.MiB
		l.Rlimits.FSize = &size
	}, want: sandbox.Signaled, sig: 25},
	{name: "a disk beyond its limit", run: c("file"), limit: func(l *sandbox.Limits) { l.Disk = 8 * limits.MiB }, want: sandbox.Exited, code: int(unix.ENOSPC)},
	{name: "no such program", run: []string{"/programs/none"}, want: sandbox.NotStarted},
	{name: "a program that is none", run: []string{"/etc/passwd"}, want: sandbox.NotStarted},
}

// clockRows use up a clock, or seem to.
var clockRows = []row{
	{name: "spins", run: c("spin"), limit: cpuTime, want: sandbox.CPUTime, check: burnt},
	{name: "spins in four threads", run: c("threads", 4), limit: cpuTime, want: sandbox.CPUTime, check: burnt},
	{name: "spins in daemons", run: c("daemons", 3), limit: cpuTime, want: sandbox.CPUTime, check: burnt},
	{
		name: "burns in children nobody waits for", run: c("unwaited", 30), limit: cpuTime, want: sandbox.CPUTime, check: burnt,
		blind: "children that are shorter than the time between two looks, and are not waited for, are seen in part",
	},
	{name: "ignores SIGXCPU", run: c("catches-xcpu"), limit: cpuTime, want: sandbox.CPUTime, check: burnt},
	{name: "burns less than its limit", run: c("burn", 50), limit: all, want: sandbox.Exited},
	{name: "burns without a limit", run: c("burn", 250), want: sandbox.Exited},
	{name: "burns with a limit of wall time", run: c("spin"), limit: wall, want: sandbox.WallTime},
	{name: "sleeps", run: c("sleep"), limit: wall, want: sandbox.WallTime, sig: 9},
	{name: "sleeps with a limit of CPU time, too", run: c("sleep"), limit: func(l *sandbox.Limits) { l.CPUTime, l.Wall = time.Minute, wallLimit }, want: sandbox.WallTime},
	{name: "stops itself", run: c("stop"), limit: wall, want: sandbox.WallTime},
	{name: "stops its group", run: c("stop", 1), limit: wall, want: sandbox.WallTime},
	{name: "waits for itself", run: c("deadlock"), limit: wall, want: sandbox.WallTime},
	{name: "waits for its vfork", run: c("vfork-pauses"), limit: wall, want: sandbox.WallTime},
	{name: "hears no signal", run: c("deaf"), limit: grace, want: sandbox.WallTime, sig: 9},
	{name: "exits 0 when asked to end", run: c("polite"), limit: grace, want: sandbox.WallTime},
	{name: "spins in its share", run: c("threads", 4), limit: func(l *sandbox.Limits) { l.CPU, l.Wall = 200, 1500*ms }, want: sandbox.WallTime},
	{
		name: "resists its share", run: c("resist"), limit: func(l *sandbox.Limits) { l.CPU, l.Wall = 200, 4*time.Second },
		want: sandbox.WallTime, watchdog: sandbox.CPUShare, obeyed: inItsShare,
	},
}

// inItsShare: on a machine that is busy with others the program may come to no
// more than the fifth of a CPU that it has, and be let run. That it was seen to
// resist is right all the same.
func inItsShare(r *sandbox.Result) bool {
	return r.Verdict != sandbox.CPUShare && r.CPU.Total < r.Wall*23/100
}

func grace(l *sandbox.Limits) { l.Wall, l.Grace = wallLimit, 300*ms }

func burnt(t *testing.T, r *sandbox.Result) { assert.GreaterOrEqual(t, r.CPU.Total, cpuLimit) }

const (
	memoryLimit = 64 * limits.MiB
	inTheKernel = "what the kernel holds for a job and no process has mapped is in no number of /proc"
)

// memory is a limit for kinds of memory; nothing else is in their way.
func memory(l *sandbox.Limits) {
	files := uint64(1024)
	l.Memory, l.Disk, l.Inodes, l.Rlimits.NoFile = memoryLimit, limits.GiB, 2_000_000, &files
}

func small(l *sandbox.Limits) {
	memory(l)
	l.Memory = 24 * limits.MiB
	l.Wall = 20 * time.Second
}

// tiny is for what takes little of the kernel's memory by each of very many
// system calls, of which a busy User Mode Linux makes five thousand a second.
func tiny(l *sandbox.Limits) {
	memory(l)
	l.Memory = 12 * limits.MiB
	l.Wall = 2 * time.Minute
}

// memoryRows want more memory than they may have, of each kind there is.
var memoryRows = []row{
	{name: "anonymous memory", run: c("anonymous"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "shared anonymous memory", run: c("shared"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "locked memory", run: c("locked"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "copies of a heap", run: c("copies"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "stacks of threads", run: c("stacks"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "a child of a parent that exits 0", run: c("child-of-a-good-parent"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "a daemon", run: c("daemon-eats"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "a file in /tmp", run: c("file"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "a file in /dev/shm", run: c("dev-shm"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "a file without a name", run: c("unlinked"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "a memfd", run: c("memfd"), limit: memory, want: sandbox.MemoryLimit, check: within, watchdog: sandbox.Exited, watchdogCode: int(unix.ENOSYS)},
	{name: "SysV segments that nobody has attached", run: c("sysv"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "pipe buffers", run: c("pipes"), limit: small, want: sandbox.MemoryLimit, blind: inTheKernel},
	{name: "socket buffers", run: c("sockets"), limit: small, want: sandbox.MemoryLimit, blind: inTheKernel},
	{name: "page tables", run: c("page-tables"), limit: small, want: sandbox.MemoryLimit, blind: inTheKernel},
	{name: "inodes", run: c("inodes"), limit: memory, want: sandbox.MemoryLimit, blind: inTheKernel},
	{name: "private pages of a file", run: c("private"), limit: memory, want: sandbox.MemoryLimit, check: within},
	{name: "epoll watches", run: c("watches"), limit: tiny, want: sandbox.MemoryLimit, blind: inTheKernel},
	{name: "filters of its own", run: c("filters"), limit: small, want: sandbox.MemoryLimit, blind: inTheKernel},
	{name: "timers", run: c("timers"), limit: small, want: sandbox.Exited, code: int(unix.EAGAIN)},
	{name: "queued signals", run: c("signals"), limit: small, want: sandbox.Exited, code: int(unix.EAGAIN)},
	{name: "descriptors in flight", run: c("in-flight"), limit: small, want: sandbox.Exited, code: int(unix.ETOOMANYREFS)},
	{name: "names that were not found", run: c("names"), limit: tiny, want: sandbox.Exited},
	{name: "a name that spoofs the kernel's log", run: c("spoofer"), limit: memory, want: sandbox.MemoryLimit, check: func(t *testing.T, r *sandbox.Result) {
		assert.NotContains(t, r.Cause, "\n")
	}},
	{name: "takes and gives back", run: c("modest"), limit: memory, want: sandbox.Exited},
	{name: "eight processes share", run: c("sharing"), limit: memory, want: sandbox.Exited},
	{name: "page cache", run: sh("cat /usr/bin/* >/dev/null 2>&1; exit 0"), limit: memory, want: sandbox.Exited},
	{name: "as much as it wants", run: c("modest"), want: sandbox.Exited},
}

// within: the kernel lets no job have more than its limit; the watchdog is
// late, by what its bound says.
func within(t *testing.T, r *sandbox.Result) {
	if r.Tier == sandbox.TierCgroup && assert.NotNil(t, r.Memory.Peak) {
		assert.LessOrEqual(t, *r.Memory.Peak, int64(memoryLimit))
	}
	assert.NotEmpty(t, r.Memory.Metric)
}

func pids(n int) func(*sandbox.Limits) {
	return func(l *sandbox.Limits) { l.Pids, l.Wall = n, wallLimit }
}

func fewTasks(l *sandbox.Limits) { l.Pids = 16 }

// refused: the kernel counted what it refused.
func refused(t *testing.T, r *sandbox.Result) {
	if r.Tier == sandbox.TierCgroup && assert.NotNil(t, r.Pids) && assert.NotNil(t, r.Pids.LimitHits) {
		assert.Positive(t, *r.Pids.LimitHits)
		assert.Contains(t, r.Hint, "-process limit reached ")
	}
}

// floodRows make many of something.
var floodRows = []row{
	{name: "fork bomb", run: c("forks"), limit: pids(32), want: sandbox.WallTime, check: refused},
	{name: "fork bomb in sessions of their own", run: c("forks-setsid"), limit: pids(32), want: sandbox.WallTime, check: refused},
	{name: "vfork bomb", run: c("vforks"), limit: pids(32), want: sandbox.WallTime},
	{name: "fork bomb under a limit of CPU time", run: c("forks"), limit: func(l *sandbox.Limits) { cpuTime(l); l.Pids = 16 }, want: sandbox.CPUTime},
	{name: "more threads than tasks", run: c("thread-flood", 64), limit: fewTasks, want: sandbox.Exited, code: int(unix.EAGAIN), check: refused},
	{name: "fewer threads than tasks", run: c("thread-flood", 8), limit: fewTasks, want: sandbox.Exited},
	{name: "zombies", run: c("zombies", 64), limit: fewTasks, want: sandbox.Exited, code: int(unix.EAGAIN), check: refused},
	{name: "leaves a fork bomb and exits", run: c("bomb-and-exit", 7), limit: func(l *sandbox.Limits) { l.Pids = 32 }, want: sandbox.Exited, code: 7},
	{name: "leaves daemons, one with stdout", run: c("leaves-daemon", 8), want: sandbox.Exited, code: 8},
	{name: "floods stdout", run: c("flood", 1), limit: output, want: sandbox.OutputLimit},
	{name: "floods stderr", run: c("flood", 2), limit: output, want: sandbox.OutputLimit},
	{name: "floods both", run: sh("/programs/hostile flood 1 & exec /programs/hostile flood 2"), limit: output, want: sandbox.OutputLimit},
	{name: "floods, and may", run: sh("/programs/hostile flood 1 | head -c 1000000"), want: sandbox.Exited},
	{name: "many empty writes", run: c("empty-writes"), limit: output, want: sandbox.Exited},
	{name: "drips", run: c("drip"), limit: output, want: sandbox.Exited, output: "...................."},
	{name: "changes the modes of its streams", run: c("deaf-streams"), want: sandbox.Exited},
	{name: "prints verdicts", run: c("spoof"), limit: all, want: sandbox.Exited, output: "timelimit exceeded"},
	{name: "writes verdicts to every descriptor", run: c("every-descriptor"), limit: all, want: sandbox.Exited},
	{name: "closes everything", run: c("close-all", 2), want: sandbox.Exited, code: 2},
}

// languageRows are programs of people who write no C.
var languageRows = []row{
	{name: "sh exits", run: sh("exit 9"), want: sandbox.Exited, code: 9},
	{name: "sh kills itself", run: sh("kill -9 $$"), limit: all, want: sandbox.Signaled, sig: 9},
	{name: "sh fork bomb", run: sh("b() { b | b & }; b; sleep 60"), limit: func(l *sandbox.Limits) { l.Pids, l.Wall = 24, wallLimit }, want: sandbox.WallTime},
	{name: "sh leaves a loop behind", run: sh("while :; do :; done & exit 0"), limit: all, want: sandbox.Exited},
	{name: "sh makes a large file and waits", run: sh("head -c 200m /dev/zero >/tmp/f; sleep 60"), limit: memory, want: sandbox.MemoryLimit},
	{name: "sh: a pipe eats, the shell exits 0", run: sh("head -c 300m /dev/zero | tail >/dev/null; exit 0"), limit: memory, want: sandbox.MemoryLimit},
	{name: "python exits", run: py("import sys; sys.exit(3)"), want: sandbox.Exited, code: 3},
	{name: "python raises", run: py("1/0"), want: sandbox.Exited, code: 1, output: "ZeroDivisionError"},
	{name: "python recurses", run: py("f=lambda: f()\nf()"), want: sandbox.Exited, code: 1, output: "RecursionError"},
	{name: "python spins", run: py("while True: pass"), limit: cpuTime, want: sandbox.CPUTime},
	{name: "python eats", run: py("a=[]\nwhile True: a.append(bytearray(1<<20))"), limit: memory, want: sandbox.MemoryLimit},
	{name: "python eats and catches everything", run: py("a=[]\nwhile True:\n try: a.append(bytearray(1<<20))\n except BaseException: pass"), limit: memory, want: sandbox.MemoryLimit},
	{name: "python leaves a daemon", run: py("import subprocess; subprocess.Popen(['sleep','60'], start_new_session=True)"), want: sandbox.Exited},
	{name: "python waits for input", run: py("input()"), want: sandbox.Exited, code: 1, output: "EOFError"},
	{name: "go panics", run: g("panic"), want: sandbox.Exited, code: 2, output: "panic: of its own"},
	{name: "go sleeps", run: g("sleep"), limit: wall, want: sandbox.WallTime},
	{name: "go exits in a goroutine", run: g("exit"), want: sandbox.Exited, code: 3},
	{name: "go spins", run: g("spin"), limit: cpuTime, want: sandbox.CPUTime},
	{name: "go eats", run: g("heap"), limit: memory, want: sandbox.MemoryLimit},
	{name: "go makes garbage", run: g("garbage"), limit: memory, want: sandbox.Exited},
}
