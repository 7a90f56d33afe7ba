package limits

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

var allControllers = []string{"cpuset", "cpu", "io", "memory", "pids"}

func lines[T interface{ String() string }](list []T) []string {
	var texts []string
	for _, s := range list {
		texts = append(texts, s.String())
	}
	return texts
}

func TestSettings(t *testing.T) {
	for name, row := range map[string]struct {
		limits      GroupLimits
		controllers []string
		want        []string
	}{
		"nothing asked, nothing there": {GroupLimits{}, nil, []string{
			"cgroup.max.depth = 1", "cgroup.max.descendants = 2",
		}},
		"nothing asked": {GroupLimits{}, allControllers, []string{
			"cgroup.max.depth = 1", "cgroup.max.descendants = 2",
			"cgroup.subtree_control = +memory +pids", "job/memory.oom.group = 1",
		}},
		"the usual": {GroupLimits{Memory: 100 * MiB, CPU: 200, Tasks: 64}, allControllers, []string{
			"cgroup.max.depth = 1", "cgroup.max.descendants = 2",
			"memory.max = 104857600", "memory.swap.max = 0", "memory.zswap.max = 0",
			"cpu.max = 20000 100000", "pids.max = 65",
			"cgroup.subtree_control = +memory +pids", "job/memory.oom.group = 1", "job/pids.max = 64",
		}},
		"all": {GroupLimits{
			Memory: GiB, MemoryHigh: 900 * MiB, Swap: 64 * MiB, CPU: 5, CPUWeight: 50, CPUSet: "0-1,3", Tasks: 1,
		}, allControllers, []string{
			"cgroup.max.depth = 1", "cgroup.max.descendants = 2",
			"memory.high = 943718400", "memory.max = 1073741824", "memory.swap.max = 67108864", "memory.zswap.max = 0",
			"cpu.max = 1000 200000", "cpu.weight = 50", "cpuset.cpus = 0-1,3", "pids.max = 2",
			"cgroup.subtree_control = +memory +pids", "job/memory.oom.group = 1", "job/pids.max = 1",
		}},
		"only pids": {GroupLimits{Tasks: 3}, []string{"pids"}, []string{
			"cgroup.max.depth = 1", "cgroup.max.descendants = 2", "pids.max = 4",
			"cgroup.subtree_control = +pids", "job/pids.max = 3",
		}},
	} {
		got, err := row.limits.Settings(row.controllers)
		if assert.NoError(t, err, name) {
			assert.Equal(t, row.want, lines(got), name)
		}
	}
}

func TestSettingsRefuse(t *testing.T) {
	for want, limits := range map[string]GroupLimits{
		"memory limit: a cgroup controller is missing: memory is not enabled in this subtree": {Memory: GiB},
		"CPU limit: a cgroup controller is missing: cpu is not enabled in this subtree":       {CPU: 200},
		"CPU weight: a cgroup controller is missing: cpu is not enabled in this subtree":      {CPUWeight: 1},
		"CPU set: a cgroup controller is missing: cpuset is not enabled in this subtree":      {CPUSet: "0"},
		"task limit: a cgroup controller is missing: pids is not enabled in this subtree":     {Tasks: 1},
	} {
		_, err := limits.Settings([]string{"io"})
		assert.ErrorIs(t, err, ErrNoController)
		assert.EqualError(t, err, want)
	}
	for want, limits := range map[string]GroupLimits{
		"CPU weight 10001: use 1 to 10000; 100 is usual":              {CPUWeight: 10001},
		"CPU weight -1: use 1 to 10000; 100 is usual":                 {CPUWeight: -1},
		`CPU set "3-1": write CPU numbers and ranges, like 0-3,8`:     {CPUSet: "3-1"},
		`CPU set "0,": write CPU numbers and ranges, like 0-3,8`:      {CPUSet: "0,"},
		`CPU set "0-99999": write CPU numbers and ranges, like 0-3,8`: {CPUSet: "0-99999"},
		"task limit 4294967296: use less than 2^31":                   {Tasks: 1 << 32},
	} {
		_, err := limits.Settings(allControllers)
		assert.EqualError(t, err, want)
	}
}

// fakeSubtree is a subtree with all controllers of a fake kernel.
func fakeSubtree(t *testing.T, k *fakeKernel) *Subtree {
	s, err := find(t, k, needing(allControllers...))
	require.NoError(t, err)
	k.log = nil
	return s
}

func TestNewGroupWritesInOrder(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	g, err := s.NewGroup("a1", GroupLimits{Memory: 64 * MiB, Tasks: 8})
	require.NoError(t, err)
	name := "run-" + strconv.Itoa(os.Getpid()) + "-777-0f1e2d3c-a1"
	assert.Equal(t, filepath.Join(k.root, name), g.Path())
	assert.Equal(t, strings.Split(strings.ReplaceAll(`mkdir RUN
write RUN/cgroup.max.depth 1
write RUN/cgroup.max.descendants 2
write RUN/memory.max 67108864
write RUN/memory.swap.max 0
write RUN/memory.zswap.max 0
write RUN/pids.max 9
write RUN/cgroup.subtree_control +memory +pids
mkdir RUN/init
mkdir RUN/job
write RUN/job/memory.oom.group 1
write RUN/job/pids.max 8`, "RUN", name), "\n"), k.log)
	assert.NoError(t, g.Verify())

	k.put(name+"/memory.max", "max\n")
	require.ErrorIs(t, g.Verify(), ErrChanged)
	k.put(name+"/memory.max", "67104768\n")
	require.ErrorIs(t, g.Verify(), ErrChanged, "a page less than asked is another limit")

	k.log = nil
	require.NoError(t, g.Remove())
	assert.Equal(t, []string{"rmdir " + name + "/job", "rmdir " + name + "/init", "rmdir " + name}, k.log)
	assert.NoDirExists(t, filepath.Join(k.root, name))
	require.NoError(t, g.Remove(), "twice is no error")
}

func TestNewGroupLeavesNothingBehind(t *testing.T) {
	for _, file := range []string{"cgroup.max.depth", "memory.max", "cgroup.subtree_control", "memory.oom.group"} {
		k := newFakeKernel(t, "/")
		s := fakeSubtree(t, k)
		k.refuse["write "+file] = unix.EBUSY
		_, err := s.NewGroup("a1", GroupLimits{Memory: 64 * MiB, Tasks: 8})
		require.ErrorIs(t, err, unix.EBUSY, file)
		var at *os.PathError
		require.ErrorAs(t, err, &at)
		assert.Equal(t, file, filepath.Base(at.Path))
		assert.Regexp(t, `^write "[+a-z0-9 ]+" to$`, at.Op, "the refused value is named")
		left, err := filepath.Glob(k.root + "/run-*")
		require.NoError(t, err)
		assert.Empty(t, left, file)
	}
}

func TestNewGroupRefusesIDs(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	for _, id := range []string{"", "..", "a/b", "a b", "a\n", strings.Repeat("x", 65)} {
		_, err := s.NewGroup(id, GroupLimits{})
		assert.Error(t, err, id)
	}
	assert.Empty(t, k.log)
}

func TestNewGroupOnOlderKernels(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	k.without["memory.zswap.max"], k.without["memory.swap.max"] = true, true
	const heading = "Filename\tType\tSize\tUsed\tPriority\n"

	k.file("swaps", heading)
	g, err := s.NewGroup("a1", GroupLimits{Memory: 64 * MiB})
	require.NoError(t, err)
	assert.Empty(t, g.Notes(), "no swap, nothing to limit")
	assert.NoError(t, g.Verify())

	k.file("swaps", heading+"/dev/sda2 partition 1000 0 -2\n")
	g, err = s.NewGroup("a2", GroupLimits{Memory: 64 * MiB})
	require.NoError(t, err)
	assert.Len(t, g.Notes(), 1)

	k.without["memory.max"] = true
	_, err = s.NewGroup("a3", GroupLimits{Memory: 64 * MiB})
	require.ErrorIs(t, err, unix.ENOENT, "a limit itself is never skipped")
}

func TestNewGroupWantsTheCPUsItAskedFor(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	k.text["cpuset.cpus.effective"] = "0-1\n"
	_, err := s.NewGroup("a1", GroupLimits{CPUSet: "0,1"})
	require.NoError(t, err)
	_, err = s.NewGroup("a2", GroupLimits{CPUSet: "8"})
	assert.ErrorContains(t, err, `only "0-1" are available`)
}

func TestRemoveDoesWhatItCan(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	g, err := s.NewGroup("a1", GroupLimits{})
	require.NoError(t, err)
	name := filepath.Base(g.Path())
	// A job without a cgroup namespace wall has made groups of its own.
	for _, dir := range []string{"/job/x", "/job/x/y", "/z"} {
		require.NoError(t, os.Mkdir(g.Path()+dir, 0o755))
		k.populate(g.Path() + dir)
	}
	require.NoError(t, removeGroup(s.dir, name, time.Second))
	assert.NoDirExists(t, g.Path())
	g.Close()

	g, err = s.NewGroup("a2", GroupLimits{})
	require.NoError(t, err)
	defer g.Close()
	k.put(filepath.Base(g.Path())+"/job/cgroup.procs", "4193999\n")
	k.refuse["rmdir job"] = unix.EBUSY
	err = removeGroup(s.dir, filepath.Base(g.Path()), 20*time.Millisecond)
	require.ErrorIs(t, err, ErrQuarantined)
	require.ErrorIs(t, err, unix.EBUSY)
	assert.ErrorContains(t, err, "job with 1 processes, first 4193999")

	k.refuse["rmdir job"] = unix.EACCES
	err = removeGroup(s.dir, filepath.Base(g.Path()), time.Second)
	require.ErrorIs(t, err, unix.EACCES)
	assert.NotErrorIs(t, err, ErrQuarantined)
}

func TestRemoveTriesAgain(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	g, err := s.NewGroup("a1", GroupLimits{})
	require.NoError(t, err)
	busy, remove := 3, s.dir.fake.remove
	s.dir.fake.remove = func(path string) error {
		if busy--; busy >= 0 {
			return unix.EBUSY
		}
		return remove(path)
	}
	require.NoError(t, g.Remove())
	assert.NoDirExists(t, g.Path())
}

func TestWaitEmptyAndEvents(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	g, err := s.NewGroup("a1", GroupLimits{})
	require.NoError(t, err)
	defer g.Close()
	events := filepath.Base(g.Path()) + "/cgroup.events"
	require.NoError(t, g.WaitEmpty(0))
	k.put(events, "populated 1\nfrozen 0\n")
	require.ErrorIs(t, g.WaitEmpty(5*time.Millisecond), os.ErrDeadlineExceeded)
	populated, err := g.Populated()
	require.NoError(t, err)
	assert.True(t, populated)
	k.put(events, "frozen 1\n")
	assert.Error(t, g.WaitEmpty(0), "what cannot be read is not empty")
	require.NoError(t, os.Remove(filepath.Join(k.root, events)))
	require.ErrorIs(t, g.WaitEmpty(0), ErrGone)
	_, err = g.Usage()
	require.ErrorIs(t, err, ErrGone)
	require.ErrorIs(t, g.Verify(), ErrGone)
}

func TestSweepNeedsTwoWitnesses(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	make := func(name string) dir {
		d, err := s.dir.make(name)
		require.NoError(t, err)
		for _, leaf := range []string{initLeaf, jobLeaf} {
			below, err := d.make(leaf)
			require.NoError(t, err)
			below.close()
		}
		t.Cleanup(d.close)
		return d
	}
	own, err := s.NewGroup("mine", GroupLimits{})
	require.NoError(t, err)
	defer own.Close()
	k.file("4193000/stat", statLine(4193000, 1, "jailrun", 500))
	make("run-4193000-500-0f1e2d3c-live")         // its runner lives
	make("run-4193000-499-0f1e2d3c-reused")       // the pid is somebody else's now
	make("run-4193001-500-0f1e2d3c-gone")         // its runner is gone
	make("run-4193000-500-aaaaaaaa-otherboot")    // another boot
	locked := make("run-4193002-1-0f1e2d3c-lock") // looks gone, but somebody holds it
	require.NoError(t, unix.Flock(locked.fd, unix.LOCK_EX))
	for _, other := range []string{"jailrun-caller", "run-", "run-1-2", "run-x-1-0f1e2d3c-a", "runner", "run--1-1-b-c"} {
		make(other)
	}

	swept, err := s.Sweep()
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{
		"run-4193000-499-0f1e2d3c-reused", "run-4193001-500-0f1e2d3c-gone", "run-4193000-500-aaaaaaaa-otherboot",
	}, swept.Removed)
	assert.Equal(t, 3, swept.Live)
	left, err := s.dir.dirs()
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{
		filepath.Base(own.Path()), "run-4193000-500-0f1e2d3c-live", "run-4193002-1-0f1e2d3c-lock",
		"jailrun-caller", "run-", "run-1-2", "run-x-1-0f1e2d3c-a", "runner", "run--1-1-b-c",
	}, left)
	assert.Contains(t, k.log, "write run-4193001-500-0f1e2d3c-gone/cgroup.kill 1")
}

func TestSweepGoesOnAfterAnError(t *testing.T) {
	k := newFakeKernel(t, "/")
	s := fakeSubtree(t, k)
	for _, name := range []string{"run-4193001-1-0f1e2d3c-a", "run-4193001-1-0f1e2d3c-b"} {
		d, err := s.dir.make(name)
		require.NoError(t, err)
		d.close()
	}
	k.refuse["rmdir run-4193001-1-0f1e2d3c-a"] = unix.EACCES
	swept, err := s.Sweep()
	require.ErrorIs(t, err, unix.EACCES)
	assert.Equal(t, []string{"run-4193001-1-0f1e2d3c-b"}, swept.Removed)
}

func FuzzGroupName(f *testing.F) {
	f.Add("run-1-2-0f1e2d3c-a")
	f.Fuzz(func(t *testing.T, name string) {
		if r, ok := parseGroupName(name); ok {
			again, ok := parseGroupName(r.groupName("x"))
			require.True(t, ok)
			require.Equal(t, r, again)
		}
	})
}

func TestReasonKeepsBoth(t *testing.T) {
	err := error(&reason{place: "a", kind: ErrGone, why: unix.ENODEV})
	assert.True(t, errors.Is(err, ErrGone) && errors.Is(err, unix.ENODEV))
}
