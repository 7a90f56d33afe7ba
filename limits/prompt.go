package limits

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// shortSlice is the least that sched_setattr(2) takes, in nanoseconds.
const shortSlice = 100_000

// Promptly calls f on a thread that runs soon after it wakes however many others
// can run. A sampler that wakes 80 ms late sees a job that has filled hundreds of
// megabytes meanwhile.
//
// The thread gets a short slice, which lets it preempt them (EEVDF, Linux 6.12;
// nothing changes before), and no more CPU time by that than it would have had.
// And it is another one than the caller's, which may have used more than its part
// just before, with what it launched: the kernel then lets all others of its
// session run for up to a tick each first (entity_lag), 130 ms beside 64 on two
// CPUs.
func Promptly(f func() error) error {
	runtime.LockOSThread() // or the runtime might go on with f right here
	defer runtime.UnlockOSThread()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		setSlice(shortSlice)
		defer setSlice(0) // the kernel's own
		done <- f()
	}()
	return <-done
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
