package soak

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"
	"github.com/jailrun/jailrun/tests/vm"
)

func TestMain(m *testing.M) { rootless.Main(m) }

// kinds are the jobs, each with the verdict that it must get every time.
var kinds = []struct {
	name    string
	verdict sandbox.Verdict
	script  string
	limit   func(l *sandbox.Limits)
}{
	{"exits", sandbox.Exited, "exit 3", nil},
	{"writes files", sandbox.Exited, "for i in 1 2 3 4 5 6 7 8; do echo $i >/tmp/$i; done; cat /tmp/*", nil},
	{"has children", sandbox.Exited, "for i in 1 2 3 4; do (sleep 1000 &) ; done", nil},
	{"kills itself", sandbox.Signaled, "kill -9 $$", nil},
	{"sleeps", sandbox.WallTime, "sleep 1000", func(l *sandbox.Limits) { l.Wall = 20 * time.Millisecond }},
	{"floods", sandbox.OutputLimit, "while :; do echo 0123456789abcdef; done", func(l *sandbox.Limits) { l.Output = 4 * limits.KiB }},
	{"is not there", sandbox.NotStarted, "", nil},
}

// one runs a job of a kind and checks what became of it.
func one(t *testing.T, n int) time.Duration {
	k := &kinds[n%len(kinds)]
	c := sandbox.Command("/bin/sh", "-c", k.script)
	if k.script == "" {
		c = sandbox.Command("/no/such/program")
	}
	c.CWD = sandbox.CWDNone
	c.Limits.Wall = time.Minute
	if k.limit != nil {
		k.limit(&c.Limits)
	}
	var out bytes.Buffer
	c.Stdout = &out
	r, err := c.Run(t.Context())
	if k.verdict != sandbox.NotStarted {
		assert.NoError(t, err, k.name)
	}
	assert.Equal(t, k.verdict, r.Verdict, "%s: %s", k.name, r.Cause)
	return r.Setup
}

// round runs jobs, some at a time, and returns what the launches took.
func round(t *testing.T, jobs, atOnce int) []time.Duration {
	numbers := make(chan int)
	took := make([]time.Duration, jobs)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for n := range numbers {
				took[n] = one(t, n)
			}
		})
	}
	for n := range jobs {
		numbers <- n
	}
	close(numbers)
	all.Wait()
	return took
}

// holdings is what a process has of the system.
type holdings struct {
	descriptors, mounts, threads, goroutines, children int
	groups, dying                                      int // of the whole machine, where nobody else makes any
	heap                                               uint64
}

func take(t *testing.T) (h holdings) {
	count := func(dir string) int {
		list, err := os.ReadDir(dir)
		require.NoError(t, err)
		return len(list)
	}
	h.descriptors, h.threads, h.goroutines = count("/proc/self/fd"), count("/proc/self/task"), runtime.NumGoroutine()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	h.mounts = bytes.Count(mounts, []byte("\n"))
	tasks, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	for _, task := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err == nil { // a thread may have ended
			h.children += len(strings.Fields(string(b)))
		}
	}
	if lane.Name() == vm.UML {
		stat, err := os.ReadFile("/sys/fs/cgroup/cgroup.stat")
		require.NoError(t, err)
		_, err = fmt.Sscanf(string(stat), "nr_descendants %d\nnr_dying_descendants %d", &h.groups, &h.dying)
		require.NoError(t, err)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.heap = m.HeapAlloc
	return h
}

// TestSoak: after a first round, which makes what is kept (a spawner, threads,
// buffers), many more jobs add nothing.
func TestSoak(t *testing.T) {
	lane.Require(t, "userns", "proc")
	jobs, atOnce := 300, 16
	if os.Getenv("JAILRUN_TEST_ALL") != "" {
		jobs, atOnce = 10000, 64
	}
	round(t, 4*atOnce, atOnce)
	before := take(t)
	took := round(t, jobs, atOnce)
	after := take(t)
	assert.Equal(t, before.descriptors, after.descriptors, "descriptors")
	assert.Equal(t, before.mounts, after.mounts, "mounts")
	assert.Equal(t, before.children, after.children, "children")
	assert.Equal(t, before.groups, after.groups, "control groups")
	assert.LessOrEqual(t, after.dying, before.dying+2*atOnce, "control groups that are dead and not gone")
	assert.LessOrEqual(t, after.goroutines, before.goroutines+2, "goroutines")
	assert.LessOrEqual(t, after.threads, before.threads+atOnce, "threads")
	assert.LessOrEqual(t, after.heap, before.heap+4<<20, "heap in bytes")
	slices.Sort(took)
	took = slices.DeleteFunc(took, func(d time.Duration) bool { return d == 0 }) // not started
	t.Logf("%d jobs, %d at a time; a launch took %v in the median, %v at most; from %+v to %+v",
		jobs, atOnce, took[len(took)/2], took[len(took)-1], before, after)
}
