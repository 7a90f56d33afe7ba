package sandbox

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// A share holds the job to its part of the CPU where no controller does: it
// lets the job stand still, by freezing its group or else by signals of
// init's, as long as a closed loop over its measured CPU time asks for. A job
// that does not stand still is killed.
type share struct {
	watch   *watch
	loop    *limits.Throttle
	stopped bool
	// stoppedAt is when the last stop was ordered.
	stoppedAt time.Duration
	// own are processes that the job itself had stopped before we did: they
	// are not ours to continue. Only signals need this; a thawed group finds
	// them as they were.
	own map[int]bool
}

// suspendedCheck is how often a share asks whether Suspend has let the job go.
const suspendedCheck = 20 * time.Millisecond

func newShare(w *watch, cpu limits.CPU) *share {
	return &share{watch: w, loop: limits.NewThrottle(cpu, onlineCPUs())}
}

// tick measures, stops or continues, and returns when to come back.
func (s *share) tick(now time.Duration) time.Duration {
	if s.watch.run.suspended() {
		return now + suspendedCheck
	}
	var seen limits.Sample
	tasks := onlineCPUs()
	if s.watch.run.group != nil {
		if !s.watch.measure() {
			return now + limits.MinCheck
		}
	} else {
		var err error
		if seen, err = s.watch.sampler.Sample(limits.SampleCPU); err != nil {
			s.watch.failed(err)
			return now + limits.MinCheck
		}
		s.watch.cpu, tasks = max(s.watch.cpu, seen.CPU), seen.Tasks
	}
	run, wait := s.loop.Step(now, s.watch.cpu, tasks)
	if s.stopped && s.standsStill(&seen) {
		s.loop.Landed(now)
	}
	if s.loop.Resists() && s.stillStopping(now, &seen) {
		s.loop.Excuse()
	}
	switch {
	case s.loop.Resists():
		s.watch.run.fire(firing{by: byShare, at: now, value: int64(s.loop.Burnt())}, false)
		return 0
	case run == s.stopped:
		s.set(!run, &seen)
	}
	return now + wait
}

// standsStill confirms a stop.
func (s *share) standsStill(seen *limits.Sample) bool {
	if g := s.watch.run.group; g != nil {
		frozen, err := g.Frozen()
		return err == nil && frozen
	}
	for _, p := range seen.Processes {
		if p.State != 'T' && p.State != 't' && p.State != 'Z' {
			return false
		}
	}
	return true
}

// stopPatience is how long a stop may take to arrive on a busy machine.
const stopPatience = 1500 * time.Millisecond

// stillStopping tells a job that has not been stopped yet from one that goes on
// in spite of it: the signal is still pending for a process whose turn has not
// come (its other threads run on until then), or the group is not frozen yet.
// A job that continues itself takes the signal off. It is believed for a while
// only: a job could see to it that one of its processes never gets a turn.
func (s *share) stillStopping(now time.Duration, seen *limits.Sample) bool {
	if now-s.stoppedAt > stopPatience {
		return false
	}
	if g := s.watch.run.group; g != nil {
		frozen, err := g.Frozen()
		return err == nil && !frozen
	}
	for _, p := range seen.Processes {
		if p.State != 'T' && p.State != 't' && p.State != 'Z' && s.watch.sampler.StopPending(p.PID) {
			return true
		}
	}
	return false
}

// set stops or continues the job.
func (s *share) set(stop bool, seen *limits.Sample) {
	r := s.watch.run
	r.hold.Lock()
	defer r.hold.Unlock()
	if r.hold.suspended || r.hold.over {
		return // a moment ago
	}
	s.stopped, r.hold.throttled = stop, stop
	if stop {
		s.stoppedAt = limits.Now()
	}
	if r.group != nil {
		if err := r.group.Freeze(stop); err != nil {
			s.watch.failed(err)
		}
		return
	}
	switch {
	case stop:
		s.own = nil
		for _, p := range seen.Processes {
			if p.State == 'T' {
				if s.own == nil {
					s.own = map[int]bool{}
				}
				s.own[p.PID] = true
			}
		}
		_ = r.send(-1, unix.SIGSTOP) // an init that is gone is seen by the loop
	case len(s.own) == 0:
		_ = r.send(-1, unix.SIGCONT)
	default:
		for _, p := range seen.Processes {
			if !s.own[p.PID] {
				_ = r.send(p.PID, unix.SIGCONT)
			}
		}
	}
}
