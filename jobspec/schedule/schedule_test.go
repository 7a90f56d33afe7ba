package schedule

import (
	"math/rand/v2"
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOrder(t *testing.T) {
	t.Parallel()
	q := New(Budget{Slots: 2, Memory: 100, CPUs: []int{0, 1}}, []Claim{
		0: {Memory: 60}, 1: {Memory: 60}, 2: {Memory: 10}, 3: {Memory: 10, Priority: 1, Pin: true}, 4: {Pin: true},
	})
	for i := range 5 {
		q.Ready(i)
	}
	next := func(job, cpu int, ok bool) {
		t.Helper()
		j, c, o := q.Next()
		require.Equal(t, ok, o)
		if ok {
			assert.Equal(t, job, j)
			assert.Equal(t, cpu, c)
		}
	}
	next(3, 0, true)  // by priority, with a CPU
	next(0, -1, true) // then in order
	next(0, 0, false) // no slot
	q.Done(3)
	next(0, 0, false) // 1 does not fit, and 2, which would, does not overtake
	assert.Len(t, q.ready.jobs, 3)
	q.Done(0)
	next(1, -1, true)
	next(2, -1, true)
	q.Done(1)
	next(4, 0, true) // the CPU is free again
	q.Done(2)
	q.Done(4)
	next(0, 0, false)
}

// TestBudget: whatever ends when, the sum of the claims stays in the budget and
// everything runs.
func TestBudget(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	b := Budget{Slots: 4, Memory: 1000, CPU: 3000, CPUs: []int{2, 5, 7}}
	claims := make([]Claim, 2000)
	for i := range claims {
		claims[i] = Claim{Memory: r.Int64N(1001), CPU: r.Int64N(3001), Pin: r.IntN(2) == 0, Priority: r.IntN(3), Slots: r.IntN(4)}
	}
	q := New(b, claims)
	for i := range claims {
		require.NoError(t, b.Fits(claims[i]))
		q.Ready(i)
	}
	running, cpus, ran := map[int]int{}, map[int]bool{}, 0
	for ran < len(claims) {
		for {
			job, cpu, ok := q.Next()
			if !ok {
				break
			}
			if claims[job].Pin {
				require.False(t, cpus[cpu], "a CPU has one job")
				cpus[cpu] = true
			}
			running[job] = cpu
		}
		require.NotEmpty(t, running, "nothing waits for nothing")
		var memory, cpu int64
		for j := range running {
			memory += claims[j].Memory
			cpu += claims[j].CPU
		}
		require.LessOrEqual(t, memory, b.Memory)
		require.LessOrEqual(t, cpu, b.CPU)
		for j, c := range running { // any one of them
			q.Done(j)
			delete(cpus, c)
			delete(running, j)
			ran++
			break
		}
	}
	assert.Error(t, b.Fits(Claim{Memory: 1001}))
	assert.Error(t, b.Fits(Claim{CPU: 3001}))
	assert.Error(t, (&Budget{}).Fits(Claim{Pin: true}))
}

func TestMachine(t *testing.T) {
	t.Parallel()
	f := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	b, err := Machine(fstest.MapFS{
		"proc/meminfo":                       f("MemTotal:       16000000 kB\nMemFree: 1 kB\n"),
		"proc/self/cgroup":                   f("0::/a/b\n"),
		"sys/fs/cgroup/cgroup.controllers":   f("cpu memory\n"),
		"sys/fs/cgroup/a/memory.max":         f("1048576000\n"),
		"sys/fs/cgroup/a/b/memory.max":       f("max\n"),
		"sys/fs/cgroup/a/b/cpu.max":          f("50000 100000\n"),
		"sys/fs/cgroup/a/cpu.max":            f("max 100000\n"),
		"sys/fs/cgroup/unrelated/memory.max": f("1\n"),
	})
	require.NoError(t, err)
	assert.EqualValues(t, 1048576000, b.Memory)
	assert.EqualValues(t, 500, b.CPU)
	assert.Equal(t, 1, b.Slots)
	b, err = Machine(fstest.MapFS{
		"proc/meminfo":     f("MemTotal:       16000000 kB\n"),
		"proc/self/cgroup": f("4:memory:/x\n1:cpu,cpuacct:/y\n0::/\n"),
		"sys/fs/cgroup/memory/x/memory.limit_in_bytes":  f("2000000\n"),
		"sys/fs/cgroup/memory/memory.limit_in_bytes":    f("9223372036854771712\n"),
		"sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_quota_us":  f("-1\n"),
		"sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_period_us": f("100000\n"),
	})
	require.NoError(t, err)
	assert.EqualValues(t, 2000000, b.Memory)
	assert.EqualValues(t, len(b.CPUs)*1000, b.CPU)
	b, err = Machine(os.DirFS("/"))
	require.NoError(t, err)
	assert.Positive(t, b.Memory)
	assert.Positive(t, b.Slots)
}
