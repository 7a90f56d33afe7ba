package limits

import (
	"time"

	"golang.org/x/sys/unix"
)

// Bandwidth is the most CPU time a job can burn per wall time; it tells when a
// CPU time limit can be reached at the earliest.
type Bandwidth struct {
	Parallel int // CPUs the job can use at once: online, cpuset and task count; less than 1 counts as 1
	Share    CPU // the CPU limit in force; 0 means none
}

// cpuSlack is what a limited job may run ahead of its share: the quota of the
// cpu.max period that has just begun, and the one before it.
const cpuSlack = 2 * 100 * time.Millisecond

// MinCheck is the shortest time between two looks at a job's CPU time.
const MinCheck = time.Millisecond

// Earliest returns how long it takes the job at least to burn the given CPU
// time. A deadline on CPU time is kept without polling: sleep that long,
// measure again, and repeat with what is left until nothing is. The result is
// never below [MinCheck], so a limit is overrun by at most MinCheck × Parallel
// and the lateness of the wake-up. It is pure.
func (b Bandwidth) Earliest(remaining time.Duration) time.Duration {
	wait := remaining / time.Duration(max(b.Parallel, 1))
	if b.Share > 0 {
		// Of(t + slack) >= remaining is the first moment the share allows.
		atShare := time.Duration(float64(remaining) * float64(OneCPU) / float64(b.Share))
		wait = max(wait, atShare-cpuSlack)
	}
	return max(wait, MinCheck)
}

// Now returns the monotonic clock (CLOCK_MONOTONIC). It stands still
// while the machine is suspended.
func Now() time.Duration {
	var ts unix.Timespec
	// CLOCK_MONOTONIC and a valid address: it cannot fail.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}
