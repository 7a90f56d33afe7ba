package sandbox

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// hint is the sentence that goes with a verdict, "" for a job that is just done.
func (e *evidence) hint(v Verdict) string {
	l := &e.limits
	switch v {
	case NotStarted:
		return e.notRun.Hint
	case ErrorVerdict:
		if e.failure != nil {
			return e.failure.Hint
		}
		return ""
	case MemoryLimit:
		return "does it need more than " + l.Memory.Human() + "? raise --mem"
	case OutputLimit:
		return "raise --output, or keep the beginning with --on-output truncate"
	case DiskLimit:
		return "raise --disk"
	case CPUShare:
		return "the kernel holds such a job: run it in a delegated group (systemd-run --user --scope -p Delegate=yes)"
	case Syscall:
		return "does it need the call? --seccomp default kills for none"
	case Killed:
		return "the kernel's log (journalctl -k) names what its OOM killer did, journalctl --user who stopped a group"
	case Canceled:
		return ""
	}
	// What the job met on its way and may have died of, waited for or burnt
	// its time on.
	if n := e.usage.Pids.LimitHits.Value; n > 0 && !(v == Exited && e.exit.Status.ExitStatus() == 0) {
		return strconv.Itoa(l.Pids) + "-process limit reached " + timesText(n) + e.needsTasks() + ": raise --pids"
	}
	switch v {
	case WallTime:
		if e.cpu.Known && l.Wall > 0 && e.cpu.Value < l.Wall/10 {
			return "it used only " + e.cpu.Value.String() + " of CPU time: does it wait for input (-n gives none) or for a lock?"
		}
		return "raise --wall"
	case CPUTime:
		return "raise --cpu-time"
	}
	return e.ownHint()
}

// needsTasks says how many processes and threads the program's runtime takes
// for itself, if that is what the limit is too small for.
func (e *evidence) needsTasks() string {
	if rt := e.runtime; rt != nil && e.limits.Pids < 2*rt.tasks {
		return "; " + rt.label + " needs about " + strconv.Itoa(rt.tasks)
	}
	return ""
}

// ownHint is for a job that ended by itself.
func (e *evidence) ownHint() string {
	r := &e.limits.Rlimits
	switch s := e.signal(); {
	case s == unix.SIGXFSZ && r.FSize != nil:
		return "a file grew beyond --fsize " + r.FSize.String()
	case s == unix.SIGSEGV && r.Stack != nil:
		return "does it need a larger stack than --stack " + r.Stack.String() + "?"
	case e.diskFull && (s != 0 || e.exit.Status.ExitStatus() != 0):
		return "its " + e.limits.Disk.Human() + " of writable space are full: raise --disk or --inodes"
	case len(e.denied) > 0 && (s != 0 || e.exit.Status.ExitStatus() != 0):
		call := e.denied[0].Syscall
		return "the filter denied " + call + ": jailrun seccomp explain " + e.profile + " " + call + " says why"
	}
	return ""
}

func timesText(n uint64) string {
	if n == 1 {
		return "once"
	}
	return strconv.FormatUint(n, 10) + " times"
}
