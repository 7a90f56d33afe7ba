package limits

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openFixture opens a group whose files were copied from a machine.
func openFixture(t *testing.T, name string) *Group {
	run, err := openDir(filepath.Join("testdata", name, "run"), nil)
	require.NoError(t, err)
	job, err := openDir(filepath.Join("testdata", name, "job"), nil)
	require.NoError(t, err)
	g := &Group{run: run, job: job, init: dir{fd: -1}}
	t.Cleanup(g.Close)
	return g
}

func known[T any](value T) Opt[T] { return Opt[T]{value, true} }

func TestUsageAfterOOM(t *testing.T) {
	u, err := openFixture(t, "linux-6.1-oom").Usage()
	require.NoError(t, err)
	assert.Equal(t, Usage{
		CPU: CPUUsage{
			Total: known(1270 * time.Millisecond), User: known(1249680 * time.Microsecond), System: known(20320 * time.Microsecond),
			Throttled: known(1180 * time.Millisecond), Throttles: known[uint64](24),
		},
		Memory: MemoryUsage{
			Current: known[Size](905216), Peak: known[Size](50335744),
			Anon: known[Size](323584), File: known[Size](716800), Shmem: known[Size](0), Kernel: known[Size](278528),
			Swap:     known[Size](0), // and no SwapPeak: this kernel has none
			OOMKills: known[uint64](2), OwnOOMs: known[uint64](1), LimitHits: known[uint64](20),
		},
		Pids: PidsUsage{Current: known[uint64](4), Peak: known[uint64](5), LimitHits: known[uint64](1)},
		IO:   IOUsage{ReadBytes: known[Size](0), WriteBytes: known[Size](0)},
	}, u)
}

// With memory_localevents the kills of the job are not in run/.
func TestUsageWithLocalEvents(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	g, err := s.NewGroup("a1", GroupLimits{})
	require.NoError(t, err)
	defer g.Close()
	name := filepath.Base(g.Path())
	k.put(name+"/job/memory.current", "0\n")
	k.put(name+"/memory.events", "max 3\noom 1\noom_kill 0\n")
	k.put(name+"/job/memory.events", "max 0\noom 0\noom_kill 1\n")
	u, err := g.Usage()
	require.NoError(t, err)
	assert.Equal(t, known[uint64](1), u.Memory.OOMKills)
	assert.False(t, u.Memory.OwnOOMs.Known, "a kernel without memory.events.local cannot tell")
}

// On Linux 6.11 and later pids.events rises to the parent.
func TestUsageWithHierarchicalPidsEvents(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	g, err := s.NewGroup("a1", GroupLimits{})
	require.NoError(t, err)
	defer g.Close()
	name := filepath.Base(g.Path())
	k.put(name+"/job/pids.current", "1\n")
	k.put(name+"/job/pids.events", "max 4\n")
	k.put(name+"/pids.events", "max 4\n")
	u, err := g.Usage()
	require.NoError(t, err)
	assert.Equal(t, known[uint64](4), u.Pids.LimitHits)
}

func TestUsagePressureAndIO(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	g, err := s.NewGroup("a1", GroupLimits{})
	require.NoError(t, err)
	defer g.Close()
	job := filepath.Base(g.Path()) + "/job/"
	k.put(job+"cpu.pressure", "some avg10=1.53 avg60=0.27 avg300=0.06 total=160123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=120001\n")
	k.put(job+"memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n") // as cpu.pressure before Linux 5.13
	k.put(job+"../io.stat", "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n"+
		"8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021\n7:0\n")
	u, err := g.Usage()
	require.NoError(t, err)
	assert.Equal(t, PressureUsage{
		CPU:    known(Pressure{Some: 160123 * time.Microsecond, Full: 120001 * time.Microsecond}),
		Memory: known(Pressure{Some: 7 * time.Microsecond}),
	}, u.Pressure)
	assert.Equal(t, IOUsage{ReadBytes: known[Size](91889664), WriteBytes: known[Size](613781504)}, u.IO)
}

func TestUsageReportsWhatIsNotLack(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Fatal("root may read everything")
	}
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	g, err := s.NewGroup("a1", GroupLimits{})
	require.NoError(t, err)
	defer g.Close()
	require.NoError(t, os.Chmod(filepath.Join(g.Path(), "job/cpu.stat"), 0))
	_, err = g.Usage()
	require.ErrorIs(t, err, unix.EACCES)
	_, err = g.CPUTime()
	require.ErrorIs(t, err, unix.EACCES)
}

func FuzzKeyed(f *testing.F) {
	f.Add([]byte("usage_usec 40000\nuser_usec 1\n"), "usage_usec")
	f.Add([]byte("a\n\n b c\nmax max\n"), "max")
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		if n := keyed(text).get(key); !n.Known {
			assert.Zero(t, n.Value, "what is not known has no value")
		}
		sumIO(text)
		v2Path(text)
		onV1(text, key)
		for _, m := range cgroup2Mounts(text) {
			if place, ok := m.below("/" + key); ok {
				assert.NotContains(t, place[len(m.point):], "/../")
			}
		}
		_, _ = parseStat(text)
		ParsePressure(text)
		eachEntry(text, func(name []byte, _ byte) { assert.NotEmpty(t, name) })
	})
}
