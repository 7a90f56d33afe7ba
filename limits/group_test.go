package limits

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
		require.ErrorIs(t, err, ErrNoController)
		require.EqualError(t, err, want)
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
	require.NoError(t, g.Verify())

	k.put(name+"/init/cgroup.procs", "")
	fd, err := g.AddTasks(2)
	require.NoError(t, err)
	require.NoError(t, unix.Close(fd))
	assert.Equal(t, "write "+name+"/pids.max 11", k.log[len(k.log)-1], "the job's own limit stays")
	require.NoError(t, g.Verify())

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
		require.Error(t, err, id)
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
	require.NoError(t, g.Verify())

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

func TestReasonKeepsBoth(t *testing.T) {
	err := error(&reason{place: "a", kind: ErrGone, why: unix.ENODEV})
	assert.True(t, errors.Is(err, ErrGone) && errors.Is(err, unix.ENODEV))
}
