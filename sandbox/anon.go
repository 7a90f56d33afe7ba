package sandbox

import (
	"time"

	"github.com/jailrun/jailrun/limits"
)

// An anonPeak finds the most anonymous memory that a job in a group holds. The
// kernel keeps a peak of everything a group is charged for, page cache and files
// among it, and none of the part that a program asked for; so that part is
// looked at now and then, and what is found is a lower bound.
type anonPeak struct {
	peak limits.Opt[limits.Size]
	held limits.Size   // all that the job held at the last look
	gap  time.Duration // to the next
}

const (
	anonFirst = time.Millisecond
	anonMost  = 128 * time.Millisecond // between two looks at a job that does not grow
	anonStep  = limits.MiB             // a job that gains so much between two looks grows
)

// tick looks, and returns when to look again: soon at a job that grows.
func (a *anonPeak) tick(w *watch, now time.Duration) time.Duration {
	anon, held, err := w.run.group.AnonAbove(a.peak.Value)
	if err != nil || !held.Known {
		return 0 // the counters at the end say why
	}
	a.seen(anon)
	if a.gap = min(max(2*a.gap, anonFirst), anonMost); held.Value > a.held+anonStep {
		a.gap = max(a.gap/4, anonFirst)
	}
	a.held = held.Value
	return now + a.gap
}

func (a *anonPeak) seen(anon limits.Opt[limits.Size]) {
	if anon.Known && (!a.peak.Known || anon.Value > a.peak.Value) {
		a.peak = anon
	}
}
