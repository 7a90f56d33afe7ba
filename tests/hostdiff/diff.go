package hostdiff

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Settled is how long the kernel may take to let go of what a run has left to
// it: keys, network namespaces and dying processes go asynchronously.
const Settled = 5 * time.Second

// AssertSame fails the test if the host does not look as before, and reports
// whether it does.
func (a *Arena) AssertSame(t testing.TB, before Picture) bool {
	t.Helper()
	var diff []string
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(Settled); ; <-tick.C {
		if diff = Diff(before, a.Take(t)); len(diff) == 0 {
			return true
		}
		if time.Now().After(end) {
			break
		}
	}
	t.Errorf("the host is not as it was:\n%s", strings.Join(diff, "\n"))
	return false
}

// Diff lists what differs, sorted.
func Diff(before, after Picture) []string {
	var diff []string
	for name, was := range before {
		// Of keys the kernel lets go late: fewer than before is what an earlier
		// run has left to it.
		if is, ok := after[name]; strings.HasPrefix(name, "keys of ") && len(is) <= len(was) && is <= was {
			continue
		} else if !ok {
			diff = append(diff, "gone: "+name+" "+was)
		} else if is != was {
			diff = append(diff, "changed: "+name+": "+was+" -> "+is)
		}
	}
	for name, is := range after {
		if _, ok := before[name]; !ok {
			diff = append(diff, "new: "+name+" "+is)
		}
	}
	slices.Sort(diff)
	return diff
}
