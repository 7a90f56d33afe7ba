package limits

import "time"

// Constants of the closed loop; see [Throttle].
const (
	throttlePeriod = 20 * time.Millisecond  // about one run and one pause
	throttleBurst  = 100 * time.Millisecond // of share that an idle job may save up
	minStep        = 200 * time.Microsecond // between two measurements

	// settleTime is how long a job may still burn after it was told to stop,
	// when nobody has confirmed that it was: 16 spinners on 2 CPUs kept the
	// sender of the signals off the CPU for 66 ms. It grows with the tasks,
	// each of which may be given a slice first, and is bounded so that a job
	// of many tasks is found out within half a second all the same.
	settleTime = 100 * time.Millisecond
	settleTask = 4 * time.Millisecond
	settleMax  = 300 * time.Millisecond
	// landedTime is the same after the confirmation: a CPU notices at its
	// next tick.
	landedTime = 20 * time.Millisecond
	// resistBound is the CPU time a job may show to have burnt while it stood
	// still: rounding of the measurement. Each CPU adds a scheduler tick.
	resistBound = 20 * time.Millisecond
)

// Throttle decides when a job has to stand still so that it gets a share of
// the CPU: a closed loop over measured CPU time. It is pure; who measures and
// who stops the job is up to the caller:
//
//	used := …                                    // Sampler, or Group.CPUTime
//	run, next := t.Step(now, used, tasks)
//	stop or continue the job as run says; call again after next at the latest
//	if it was stopped and that has taken effect: t.Landed(now)
//	if t.Resists(): kill it
//
// A bucket fills with the share of elapsed time and is emptied by what was
// used. When it is empty the job is to stop, until one period's share is in
// it again. Debt is carried: a stop that lands late only makes the next pause
// longer, so the mean holds however late signals are. (An open-loop duty cycle
// at 20 % let 16 spinners have 165 %.) What the job leaves unused is kept up
// to 100 ms of share.
//
// The zero value is not usable; a Throttle is not safe for concurrent use.
type Throttle struct {
	share CPU
	ncpu  int

	begun     bool
	now, used time.Duration // at the last step
	credit    time.Duration
	stopped   bool

	settled   time.Duration // when a stopped job stands still
	confirmed bool          // settled was set by Landed
	marked    bool          // mark is valid
	mark      time.Duration // CPU time used at the first step after that
	burnt     time.Duration // by a job that resists, while it should have stood still
}

// NewThrottle makes a throttle for a share on a machine with ncpu CPUs.
func NewThrottle(share CPU, ncpu int) *Throttle {
	return &Throttle{share: max(share, 1), ncpu: max(ncpu, 1)}
}

// Step takes in that the job has used so much CPU time in all at the moment
// now, on any monotonic clock, and has so many tasks that could run. It
// returns whether the job is to run, and when to measure again at the latest.
func (t *Throttle) Step(now, used time.Duration, tasks int) (run bool, next time.Duration) {
	if !t.begun {
		t.begun, t.now, t.used = true, now, used
		t.credit = t.share.Of(throttlePeriod)
	}
	t.credit += t.share.Of(now-t.now) - (used - t.used)
	t.credit = min(t.credit, t.share.Of(throttleBurst))
	t.now, t.used = now, used

	resume := t.share.Of(throttlePeriod)
	switch {
	case t.stopped && t.credit >= resume:
		t.stopped = false
	case t.stopped:
		t.watch()
	case t.credit <= 0:
		t.stopped, t.confirmed, t.marked = true, false, false
		perCPU := time.Duration((tasks + t.ncpu - 1) / t.ncpu)
		t.settled = now + min(settleTime+settleTask*perCPU, settleMax)
	}
	if t.stopped {
		// In a long pause it is looked at again: does it stand still?
		pause := time.Duration(float64(resume-t.credit) * float64(OneCPU) / float64(t.share))
		return false, min(max(pause, minStep), throttlePeriod)
	}
	// The bucket is emptied by as many CPUs as there are tasks, and filled
	// meanwhile.
	drain := max(min(tasks, t.ncpu), 1)*int(OneCPU) - int(t.share)
	if drain <= 0 {
		return true, throttlePeriod
	}
	empty := time.Duration(float64(t.credit) * float64(OneCPU) / float64(drain))
	return true, min(max(empty, minStep), throttlePeriod)
}

// Landed takes in that the last stop has taken effect: pid 1 has reported that
// it sent the signals, or the group is frozen. Without it a resisting job is
// found out later.
func (t *Throttle) Landed(now time.Duration) {
	if t.stopped && !t.confirmed {
		t.confirmed = true
		t.settled = now + landedTime
		t.marked = false
	}
}

// watch looks whether a job that should stand still goes on burning.
func (t *Throttle) watch() {
	switch {
	case t.now < t.settled:
	case !t.marked:
		t.marked, t.mark = true, t.used
	case t.used-t.mark > resistBound+time.Duration(t.ncpu)*tick:
		t.burnt = t.used - t.mark
	}
}

// Excuse takes back that the job resists: the stop has not arrived yet. What it
// burns from the next step on counts again.
func (t *Throttle) Excuse() { t.burnt, t.marked = 0, false }

// Resists reports whether the job was seen running while it should stand
// still: it has itself continued, by a timer or another process, and does not
// obey. It burns more than its share, or the pause would have ended, and
// nothing but its end will change that.
func (t *Throttle) Resists() bool { return t.burnt > 0 }

// Burnt is the CPU time that a job which resists has used while it should have
// stood still; else 0.
func (t *Throttle) Burnt() time.Duration { return t.burnt }
