package sandbox

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// A squeeze ends a job that lives on at its memory limit only by reading its
// own program again and again: the kernel's OOM killer, which waits until
// nothing can be reclaimed, would let it do so until its wall limit (seen: 120
// s of CPU time, 600000 reclaims, no kill). It costs nothing until the limit
// is met: the kernel tells.
type squeeze struct {
	watch *limits.SqueezeWatch
	armed bool // the loop waits for the kernel to tell

	last limits.Squeeze
	at   time.Duration // of last
	bad  int           // looks in a row at which the job did nothing else
}

const (
	squeezeStep  = 200 * time.Millisecond // between two looks
	squeezeLooks = 5                      // in a row that end the job: one second
	// The whole of what can be reclaimed is read again so often in a step.
	squeezeTurns = 4
	// What can be reclaimed is less than this part of the limit.
	squeezePart = 8
)

// newSqueeze returns nil where the kernel's own verdict is all there is: with
// swap, what a job holds can be given back.
func newSqueeze(r *run) *squeeze {
	if !r.held.memory || r.group == nil || r.plan.limits.Memory == 0 || r.plan.limits.Swap > 0 {
		return nil
	}
	w, err := r.group.WatchSqueeze()
	if err != nil {
		return nil // the limit holds without it
	}
	r.undo.add(func() error { w.Close(); return nil })
	return &squeeze{watch: w, armed: true}
}

// met is called when the kernel tells that the limit was met.
func (s *squeeze) met(w *watch) {
	s.armed, s.bad = false, 0
	now := limits.Now()
	s.last, _ = s.watch.Look() // an error shows at the next look
	w.anon.seen(s.last.Anon)   // it holds the most now
	s.at, w.squeezeAt = now, now+squeezeStep
	w.schedule()
}

// tick looks again, and returns when to come back; 0 is when the kernel tells.
func (s *squeeze) tick(w *watch, now time.Duration) time.Duration {
	seen, err := s.watch.Look()
	if err != nil {
		w.failed(err)
		return 0
	}
	limit := w.run.plan.limits.Memory
	switch last := s.last; {
	case seen.Hits == last.Hits:
		s.armed = true
		return 0
	case thrashes(last, seen, limit, now-s.at):
		s.bad++
	default:
		s.bad = 0
	}
	s.last, s.at = seen, now
	if s.bad >= squeezeLooks {
		w.run.fire(firing{by: byMemory, at: now, value: int64(seen.Held), kernel: true, largest: " that cannot be given back, and the job only read its own program again and again"}, false)
		return 0
	}
	return now + squeezeStep
}

// thrashes reports whether, between two looks, nearly all memory was held and
// the little that could be reclaimed was turned over many times. It is pure.
func thrashes(last, seen limits.Squeeze, limit limits.Size, span time.Duration) bool {
	left := limit - min(limit, seen.Held)
	if left > limit/squeezePart {
		return false
	}
	again := limits.Size(seen.Refaults-last.Refaults) * limits.Size(unix.Getpagesize())
	return float64(again) > squeezeTurns*float64(max(left, 64*limits.KiB))*float64(span)/float64(squeezeStep)
}
