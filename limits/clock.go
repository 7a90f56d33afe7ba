package limits

import (
	"os"
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

// Now returns the monotonic clock (CLOCK_MONOTONIC) that [Timer] counts on. It
// stands still while the machine is suspended.
func Now() time.Duration {
	var ts unix.Timespec
	// CLOCK_MONOTONIC and a valid address: it cannot fail.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// Timer is a timerfd on the clock of [Now], for use in a poll loop: its
// descriptor becomes readable when the time has come. It is not safe for
// concurrent use; Close releases it.
type Timer struct{ fd int }

// NewTimer makes a stopped timer.
func NewTimer() (*Timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &Timer{fd: fd}, nil
}

// FD returns the descriptor to poll for reading. It stays the timer's.
func (t *Timer) FD() int { return t.fd }

// Set arms the timer for the moment at on the clock of [Now]. A moment that
// has passed fires at once. A firing that was not read is forgotten.
func (t *Timer) Set(at time.Duration) error {
	// it_value 0 would disarm the timer.
	return t.set(max(at, 1))
}

// Stop disarms the timer and forgets a firing that was not read.
func (t *Timer) Stop() error { return t.set(0) }

func (t *Timer) set(at time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(at))}
	err := unix.TimerfdSettime(t.fd, unix.TFD_TIMER_ABSTIME, &spec, nil)
	return os.NewSyscallError("timerfd_settime", err)
}

// Fired reports whether the timer has fired since it was set or last asked,
// and makes its descriptor unreadable again.
func (t *Timer) Fired() (bool, error) {
	var count [8]byte
	switch _, err := unix.Read(t.fd, count[:]); err {
	case nil:
		return true, nil
	case unix.EAGAIN:
		return false, nil
	default:
		return false, os.NewSyscallError("read timerfd", err)
	}
}

// Close releases the descriptor.
func (t *Timer) Close() error {
	fd := t.fd
	t.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}
