package sandbox

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// evidence is all that the verdict may rest on. Nothing in it comes from the
// job's own words: it is what init reported over a channel that the job never
// had, what the kernel counted, and what the runner itself did and measured.
// Times are of CLOCK_MONOTONIC.
type evidence struct {
	// failure says that jailrun could not do its work; nil if it could.
	failure *Error
	// notRun says that execve failed; nil if it did not.
	notRun *Error
	// begun is when execve was released; 0 if it never was.
	begun time.Duration

	// exit is init's report of the end; nil if init ended without one.
	exit *prog.Exit
	// initStatus is how init itself ended, for an init without a report; nil
	// if that is not known.
	initStatus *unix.WaitStatus
	// initKilled: the runner killed init, which would not end the job.
	initKilled bool

	// fired are the runner's orders to end the job, in the order in which
	// they were given.
	fired []firing

	limits Limits // in force, with the defaults filled in
	// killsCalls: the filter in force kills for some system calls by itself, so
	// a SIGSYS is its work. One with a listener never sends a SIGSYS, nor does
	// one that answers with an errno.
	killsCalls bool
	// denied are the calls that the filter refused and that are named, and
	// profile is its name.
	denied  []DeniedCall
	profile string

	// usage is what the group counted. A run has a group of its own, so every
	// counter began at 0; what is not known decides nothing.
	usage limits.Usage
	// group is why the counters of a group prove nothing: [limits.ErrGone] or
	// [limits.ErrChanged] when somebody else removed it or changed a limit, or
	// an error of reading; nil where there is no group.
	group error
	// cpu is the CPU time of the whole tree at its end, of the group or as it
	// was measured without one.
	cpu limits.Opt[time.Duration]
	// output counts the bytes that the job wrote to stdout and stderr, as far
	// as they were read.
	output int64
	// diskFull: a writable area was found full.
	diskFull bool
	// hostOOMs is by how much oom_kill in /proc/vmstat grew during the run.
	// Where the group has a memory controller its own counter is exact, and
	// this one needs not be read (45 µs each time).
	hostOOMs limits.Opt[uint64]
	// victim is whom the OOM killer chose first, where the kernel's log tells.
	victim limits.Opt[limits.Victim]
	// runtime is the language runtime of the program, nil for none that is known.
	runtime *languageRuntime
}

// A watcher is something in the runner that ends the job.
type watcher uint8

// The watchers.
const (
	byCancel  watcher = iota + 1 // our caller asked
	byWall                       // Limits.Wall
	byCPUTime                    // Limits.CPUTime
	byMemory                     // Limits.Memory, in the watchdog tier
	byOutput                     // Limits.Output
	byDisk                       // Limits.Disk, where it is watched
	byShare                      // Limits.CPU was resisted, in the watchdog tier
	bySyscall                    // a call that the filter hands to the runner to be killed for
)

// String names what the watcher watches.
func (w watcher) String() string {
	switch w {
	case byCancel:
		return "cancel"
	case byWall:
		return "wall limit"
	case byCPUTime:
		return "CPU time limit"
	case byMemory:
		return "memory limit"
	case byOutput:
		return "output limit"
	case byDisk:
		return "disk limit"
	case byShare:
		return "CPU limit"
	case bySyscall:
		return "filter"
	}
	return "unknown watcher"
}

// A firing is one order to end the job.
type firing struct {
	by watcher
	at time.Duration // when it was given
	// value is what was measured: bytes or nanoseconds. 0 if nothing was.
	value int64
	// graced: SIGTERM came first, and the job ran on for a while.
	graced bool
	// largest is, for byMemory, the process that held the most, or what else is
	// to be said of value.
	largest string
	// kernel says that the value is the group's own count.
	kernel bool
	// detail is why the caller canceled, or which system call it was; may be nil.
	detail error
}

// ended reports whether the main process had ended before t.
func (e *evidence) ended(t time.Duration) bool { return e.exit != nil && e.exit.Ended <= t }

// wall is how long the main process ran; 0 if that is not known.
func (e *evidence) wall() time.Duration {
	if e.exit == nil || e.begun == 0 {
		return 0
	}
	return max(0, e.exit.Ended-e.begun)
}

// signal is the signal that ended the main process; 0 if none did, or nobody
// knows.
func (e *evidence) signal() unix.Signal {
	if e.exit == nil || !e.exit.Status.Signaled() {
		return 0
	}
	return e.exit.Status.Signal()
}

// order is the first order that had an effect, or nil. One of a clock or the
// caller that came when the main process had ended already had none. One for
// an amount stands whenever it was given: the amount was used.
func (e *evidence) order() *firing {
	for i := range e.fired {
		f := &e.fired[i]
		if f.by != byCancel && f.by != byWall || !e.ended(f.at) {
			return f
		}
	}
	return nil
}
