package limits

import "time"

// tick is the unit of /proc/PID/stat's times: USER_HZ is 100 on every Linux
// for amd64 and arm64.
const tick = 10 * time.Millisecond

// tally adds up the CPU time of a changing set of processes. The kernel shows
// for each living process its own time and that of the children it has waited
// for; a process that vanishes takes its numbers with it, and they turn up
// again in those of its parent, unless the parent ignores SIGCHLD: then they
// are lost. The tally therefore never adds up what is there, but what has been
// added since it last looked:
//
//	total += Σ growth of own times
//	       + what children's times have grown by beyond what vanished
//
// A vanished process's time was in the total already, so that much growth of
// somebody's children's time is only the same time in another place. What
// grows beyond is time that was never seen: of children that were born and
// reaped between two looks, and of the last moments of others.
//
// Times of children come in whole ticks, own times may be exact, so what
// arrives can be up to two ticks short for each parent; it is owed until it
// comes. A shortfall beyond that never comes: those children were not waited
// for. They stay counted as far as they were seen.
//
// The total never falls and never counts anything twice. It can lack:
// time that running threads have not been charged yet (one scheduler tick
// each), rounding (two ticks for each parent and each process with threads),
// and, of processes that nobody waits for, all after the last look at them. If
// in one interval some children are reaped and others not, growth of the
// reaped ones can be taken for the time of the others, up to that growth.
type tally struct {
	total   time.Duration
	balance time.Duration // growth of children's times less vanished times, not settled yet
}

// account is what the tally knows of one process.
type account struct {
	own, kids         time.Duration // as counted so far
	ownRead, kidsRead time.Duration // as last read
	isParent          bool          // has been seen with a child
	// Between EXIT_DEAD and its disappearance (state X) a process may or may
	// not be in its parent's numbers already.
	leaving bool
	gone    bool
}

// read takes in a new reading. Times never fall: exec in a thread other than
// the first moves the exact clock to another task, and children's times of
// nobody shrink.
func (a *account) read(own, kids time.Duration) (changed bool) {
	a.ownRead = max(a.ownRead, own)
	changed = kids > a.kidsRead
	a.kidsRead = max(a.kidsRead, kids)
	return changed
}

// settle takes in the readings of a set of accounts. The set must be
// consistent: every process that has vanished from it did so before the
// children's times were read, see [Sampler].
func (t *tally) settle(accounts func(yield func(*account) bool)) {
	parents, leaving := time.Duration(0), time.Duration(0)
	for a := range accounts {
		t.total += a.ownRead - a.own
		t.balance += a.kidsRead - a.kids
		a.own, a.kids = a.ownRead, a.kidsRead
		switch {
		case a.gone:
			t.balance -= a.own + a.kids
		case a.leaving:
			leaving += a.own + a.kids
		}
		if a.isParent && !a.gone {
			parents++
		}
	}
	if unseen := t.balance - leaving; unseen > 0 {
		t.total += unseen
		t.balance -= unseen
	}
	t.balance = max(t.balance, -2*tick*parents)
}
