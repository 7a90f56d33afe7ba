package sandbox

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// decide says why the job ended. It is pure. The first rule that finds its
// evidence decides; no rule looks at what the job wrote, and none at a signal
// number without saying where it came from.
//
// # Who sent SIGKILL?
//
// A wait status of 9 has many possible senders, and the kernel names none:
//
//   - the runner: then a watcher fired before the end. Known.
//   - the OOM killer for the job's own limit: it is counted as oom_kill in the
//     group, together with oom, the event of that limit. Known.
//   - the OOM killer for a limit further out, or the machine's: oom_kill is
//     counted in the group, oom is not. Known, and not the job's fault. Without
//     a memory controller /proc/vmstat counts kills of the whole machine: a
//     kill there and a SIGKILL here in the same run is taken for the same event,
//     because the other explanation (the job killed itself while the machine
//     happened to kill something else) blames the job for what nobody can tell.
//   - somebody outside that ends the whole group (systemctl stop, systemd-oomd,
//     logout): init dies with it and cannot report. Known.
//   - somebody outside that picks the main process alone: leaves no trace.
//   - the job itself, its main process or another one with the same id inside:
//     leaves no trace.
//
// When nothing tells the last two apart, "signaled" is what is known: the
// process ended by a signal, no limit was reached and no order was given. It is
// also the answer that a job cannot use: "killed", which makes a judge run the
// job again, must not be had for one kill(getpid(), SIGKILL).
func decide(e evidence) (v Verdict, cause string, exitCode, signal *int, hint string) {
	for _, rule := range [...]func(*evidence) (Verdict, string){
		neverRan, outsider, outOfMemory, ordered, overLimit, vanished, byItself,
	} {
		if v, cause = rule(&e); v != "" {
			break
		}
	}
	if v == Exited {
		code := e.exit.Status.ExitStatus()
		exitCode = &code
	}
	if s := e.signal(); s != 0 && v != ErrorVerdict && v != NotStarted {
		n := int(s)
		signal = &n
	}
	return v, printable(cause), exitCode, signal, printable(e.hint(v))
}

// neverRan: the job's program did not run, or jailrun could not go on.
func neverRan(e *evidence) (Verdict, string) {
	switch {
	case e.notRun != nil:
		return NotStarted, e.notRun.Error()
	case e.begun == 0 && len(e.fired) > 0 && e.fired[0].by == byCancel:
		// Whatever failed after that failed because of it.
		return canceledBy(&e.fired[0])
	case e.failure != nil:
		return ErrorVerdict, e.failure.Error()
	}
	return "", ""
}

// outsider: somebody else took the group away or changed its limits. Then its
// counters prove nothing, and a run whose limits did not hold is no result; but
// an order of our own does not rest on the group.
func outsider(e *evidence) (Verdict, string) {
	if e.group == nil || e.order() != nil {
		return "", ""
	}
	switch {
	case errors.Is(e.group, limits.ErrGone):
		return Killed, "somebody removed the job's cgroup"
	case errors.Is(e.group, limits.ErrChanged):
		return Killed, "somebody changed the limits of the job's cgroup: " + e.group.Error()
	}
	// Without its counters nobody can say that no limit was reached.
	return ErrorVerdict, "the job's cgroup cannot be read: " + e.group.Error()
}

// outOfMemory: an OOM killer killed in the job's group. It counts also when the
// main process knows nothing of it and exits 0.
func outOfMemory(e *evidence) (Verdict, string) {
	m := &e.usage.Memory
	if e.group != nil || m.OOMKills.Value == 0 {
		return "", ""
	}
	// After SIGKILL to all, no OOM kill follows: the kernel makes none on
	// behalf of a dying task (mem_cgroup_out_of_memory). So this one came
	// first. But a job that was given a grace went on asking for memory.
	if f := e.order(); f != nil && f.graced && !e.ended(f.at) {
		return "", ""
	}
	n := e.killedText()
	if e.limits.Memory == 0 || m.OwnOOMs.Known && m.OwnOOMs.Value == 0 {
		return Killed, "the kernel's OOM killer killed " + n + " for a limit that is not the job's"
	}
	return MemoryLimit, "memory limit " + sizeText(e.limits.Memory) + " reached; the kernel killed " + n
}

// killedText names what the OOM killer killed, as far as the kernel tells.
func (e *evidence) killedText() string {
	n := e.usage.Memory.OOMKills.Value
	v := e.victim.Value
	switch {
	case e.victim.Known && n > 1:
		return v.Name + " (pid " + strconv.Itoa(v.PID) + " of the host) and with it " + strconv.FormatUint(n-1, 10) + " more"
	case e.victim.Known:
		return v.Name + " (pid " + strconv.Itoa(v.PID) + " of the host)"
	case n == 1:
		return "one of its processes"
	}
	return strconv.FormatUint(n, 10) + " of its processes"
}

// ordered: the runner ended the job.
func ordered(e *evidence) (Verdict, string) {
	f := e.order()
	if f == nil {
		return "", ""
	}
	l := &e.limits
	value := strconv.FormatInt(f.value, 10)
	switch f.by {
	case byCancel:
		return canceledBy(f)
	case byWall:
		return WallTime, "wall limit " + l.Wall.String() + " reached"
	case byCPUTime:
		return CPUTime, "CPU time limit " + l.CPUTime.String() + " reached" + usedText(time.Duration(f.value).String(), f.value)
	case byMemory:
		return MemoryLimit, "memory limit " + sizeText(l.Memory) + " reached; " + f.measuredBy() + " measured " + value + f.largest
	case byOutput:
		return OutputLimit, "output limit " + sizeText(l.Output) + " reached" + usedText(value, f.value)
	case byDisk:
		if f.detail != nil {
			return DiskLimit, "limit of " + strconv.Itoa(l.Inodes) + " inodes reached"
		}
		return DiskLimit, "disk limit " + sizeText(l.Disk) + " reached" + usedText(value, f.value)
	case byShare:
		return CPUShare, "used " + time.Duration(f.value).Round(time.Millisecond).String() + " of CPU time while it was stopped to hold it to " + l.CPU.String() + " of a CPU"
	case bySyscall:
		if f.detail == nil {
			return Syscall, "made a system call for which the filter kills"
		}
		return Syscall, "called " + f.detail.Error() + ", for which the filter kills"
	}
	return impossible("the job was ended by an " + f.by.String())
}

// measuredBy says who saw too much memory: the kernel, where a group counts it.
func (f *firing) measuredBy() string {
	if f.kernel {
		return "the kernel"
	}
	return "the watchdog"
}

func canceledBy(f *firing) (Verdict, string) {
	if f.detail == nil {
		return Canceled, "canceled"
	}
	return Canceled, "canceled: " + f.detail.Error()
}

func usedText(text string, n int64) string {
	if n <= 0 {
		return ""
	}
	return "; " + text + " used"
}

func sizeText(n limits.Size) string { return strconv.FormatUint(uint64(n), 10) }

// overLimit: the job ended before the watcher looked, and had used more than
// its limit. The verdict must not depend on who was faster.
func overLimit(e *evidence) (Verdict, string) {
	l := &e.limits
	switch {
	case l.CPUTime > 0 && e.cpu.Known && e.cpu.Value > l.CPUTime:
		return CPUTime, "CPU time limit " + l.CPUTime.String() + " exceeded; " + e.cpu.Value.String() + " used"
	case l.Output > 0 && !l.TruncateOutput && e.output > int64(l.Output):
		return OutputLimit, "output limit " + sizeText(l.Output) + " exceeded; " + strconv.FormatInt(e.output, 10) + " used"
	case l.Wall > 0 && e.wall() > l.Wall:
		return WallTime, "wall limit " + l.Wall.String() + " exceeded; it ran " + e.wall().String()
	}
	return "", ""
}

// vanished: init ended without a report and without an order, or the job's
// process before its execve. Nobody inside could have ended either: the kernel
// protects init, and up to the execve nothing inside is the job's.
func vanished(e *evidence) (Verdict, string) {
	s := e.initStatus
	switch {
	case e.exit != nil && e.begun != 0:
		return "", ""
	case e.exit != nil && e.signal() == unix.SIGKILL:
		return Killed, "the job was killed from outside before its program ran"
	case e.exit != nil:
		return impossible("the job ended before its program ran, with wait status " + strconv.Itoa(int(e.exit.Status)))
	case e.initKilled:
		return impossible("init was killed without an order to end the job")
	case s != nil && s.Exited():
		return impossible("init exited with code " + strconv.Itoa(s.ExitStatus()) + " without a report")
	case s != nil && s.Signaled() && s.Signal() != unix.SIGKILL:
		// From outside only SIGKILL ends the first process of a pid namespace
		// that handles no signal (pid_namespaces(7)): any other is a fault of its own.
		return impossible("init died of " + signalName(s.Signal()))
	case !e.usage.Memory.OOMKills.Known && e.hostOOMs.Value > 0:
		return Killed, "init was killed from outside, probably by the machine's OOM killer, which killed meanwhile"
	}
	return Killed, "init was killed from outside, and the job with it"
}

// byItself: nothing ended the main process but itself, as far as anybody knows.
func byItself(e *evidence) (Verdict, string) {
	status := e.exit.Status
	switch s := e.signal(); {
	case status.Exited():
		return Exited, "the main process exited with code " + strconv.Itoa(status.ExitStatus())
	case s == unix.SIGSYS && e.killsCalls:
		return Syscall, "the main process died of SIGSYS: the filter killed it for a system call"
	case s == unix.SIGKILL && !e.usage.Memory.OOMKills.Known && e.hostOOMs.Value > 0:
		return Killed, "the main process died of SIGKILL, probably of the machine's OOM killer, which killed meanwhile"
	case s == unix.SIGKILL:
		return Signaled, "the main process died of SIGKILL; no limit was reached and jailrun gave no order"
	case s != 0:
		return Signaled, "the main process died of " + signalName(s)
	}
	return impossible("init reports wait status " + strconv.Itoa(int(status)))
}

func impossible(what string) (Verdict, string) {
	return ErrorVerdict, bug(errors.New(what)).Error()
}

func signalName(s unix.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(s))
}
