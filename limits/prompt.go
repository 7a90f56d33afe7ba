package limits

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// shortSlice is the least that sched_setattr(2) takes, in nanoseconds.
const shortSlice = 100_000

// Prompt keeps the calling goroutine on its thread, and has that thread run soon
// after it wakes however many others can run: a slice that is short lets it
// preempt them (EEVDF, Linux 6.12; nothing changes before). It gets no more CPU
// time by that than it would have had. A sampler that wakes 80 ms late sees a
// job that has filled hundreds of megabytes meanwhile. undo ends it, and is
// called by the same goroutine.
func Prompt() (undo func()) {
	runtime.LockOSThread()
	setSlice(shortSlice)
	return func() {
		setSlice(0) // the kernel's own
		runtime.UnlockOSThread()
	}
}

// setSlice changes nothing but the slice. A thread of a real-time policy has
// none and needs none.
func setSlice(ns uint64) {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL && attr.Policy != unix.SCHED_BATCH {
		return
	}
	attr.Runtime = ns
	_ = unix.SchedSetAttr(0, attr, 0) // a filter on us may refuse it, and then it is as before
}
