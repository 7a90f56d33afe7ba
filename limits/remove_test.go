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
	require.ErrorContains(t, err, "job with 1 processes, first 4193999")

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
	populated, err := g.run.event("populated")
	require.NoError(t, err)
	assert.True(t, populated)
	k.put(events, "frozen 1\n")
	require.Error(t, g.WaitEmpty(0), "what cannot be read is not empty")
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
