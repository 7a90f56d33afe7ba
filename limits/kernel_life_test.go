package limits

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestKernelRemovedFromOutside(t *testing.T) {
	s := realSubtree(t)
	g := realGroup(t, s, GroupLimits{})
	for _, name := range []string{"/job", "/init", ""} {
		require.NoError(t, unix.Rmdir(g.Path()+name))
	}
	_, err := g.Usage()
	require.ErrorIs(t, err, ErrGone)
	_, err = g.CPUTime()
	require.ErrorIs(t, err, ErrGone)
	require.ErrorIs(t, g.Freeze(true), ErrGone)
	require.ErrorIs(t, g.WaitEmpty(0), ErrGone)
	require.ErrorIs(t, g.Kill(), ErrGone)
	require.NoError(t, g.Remove())
}

func TestKernelSweep(t *testing.T) {
	s := realSubtree(t)
	live := realGroup(t, s, GroupLimits{})
	// A runner in a group of its own, as another shell would start it.
	scene := realGroupNamed(t, s, "scene", GroupLimits{})
	require.NoError(t, scene.run.write("cgroup.max.depth", "max"))
	require.NoError(t, scene.run.write("cgroup.max.descendants", "max"))
	cmd := into(helper(t, "runner"), scene.JobFD())
	path, err := firstLine(cmd)
	require.NoError(t, err)
	place := &Subtree{proc: s.proc, self: s.self}
	place.dir, err = openDir(filepath.Dir(path), nil)
	require.NoError(t, err)
	defer place.Close()

	swept, err := place.Sweep()
	require.NoError(t, err)
	assert.Equal(t, Swept{Live: 1}, swept, "a live runner's group stays")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	assert.Equal(t, "1", strings.TrimPrefix(strings.Split(kernelFile(t, path+"/cgroup.events"), "\n")[0], "populated "), "its job lives on")
	swept, err = place.Sweep()
	require.NoError(t, err)
	assert.Equal(t, Swept{Removed: []string{filepath.Base(path)}}, swept)
	assert.NoDirExists(t, path)

	_, err = s.Sweep()
	require.NoError(t, err)
	assert.DirExists(t, live.Path())
}

func TestKernelEvacuation(t *testing.T) {
	s := realSubtree(t, "memory")
	find := func(t *testing.T, scene *Group, how string) foundSubtree {
		out, err := into(helper(t, "find", how, "pids"), scene.JobFD()).Output()
		require.NoError(t, err)
		var found foundSubtree
		require.NoError(t, json.NewDecoder(bytes.NewReader(out)).Decode(&found))
		return found
	}
	scene := func(t *testing.T) *Group {
		g := realGroup(t, s, GroupLimits{})
		require.NoError(t, g.run.write("cgroup.max.depth", "max"))
		require.NoError(t, g.run.write("cgroup.max.descendants", "max"))
		return g
	}
	t.Run("not allowed", func(t *testing.T) {
		g := scene(t)
		assert.Contains(t, find(t, g, "stay").Err, "moving them was not allowed")
		assert.Empty(t, kernelFile(t, g.Path()+"/job/cgroup.subtree_control"))
	})
	t.Run("alone", func(t *testing.T) {
		g := scene(t)
		found := find(t, g, "evacuate")
		assert.Empty(t, found.Err)
		assert.Equal(t, []string{"pids"}, found.Controllers)
		assert.Len(t, found.Evacuated, 1)
		assert.Equal(t, "pids", kernelFile(t, g.Path()+"/job/cgroup.subtree_control"))
	})
	t.Run("beside a stranger", func(t *testing.T) {
		g := scene(t)
		other := inJob(t, g, "idle")
		found := find(t, g, "evacuate")
		assert.Contains(t, found.Err, "it also holds processes that are not the caller's to move: ")
		assert.Empty(t, kernelFile(t, g.Path()+"/job/cgroup.subtree_control"))
		assert.Contains(t, strings.Fields(kernelFile(t, g.Path()+"/job/cgroup.procs")), strconv.Itoa(other.Process.Pid))
	})
	t.Run("with an ancestor", func(t *testing.T) {
		g := scene(t)
		cmd := into(exec.Command("/bin/sh", "-c", `"$0" evacuate pids; cat /proc/$$/cgroup`, "/proc/"+strconv.Itoa(os.Getpid())+"/exe"), g.JobFD())
		cmd.Env = append(os.Environ(), helperEnv+"=find")
		out, err := cmd.Output()
		require.NoError(t, err)
		decoder := json.NewDecoder(bytes.NewReader(out))
		var found foundSubtree
		require.NoError(t, decoder.Decode(&found), string(out))
		assert.Empty(t, found.Err)
		assert.Len(t, found.Evacuated, 2)
		rest, err := io.ReadAll(decoder.Buffered())
		require.NoError(t, err)
		assert.Contains(t, string(rest), "/job/jailrun-caller\n")
	})
}

// The closed loop over a real job: no controller is needed for it.
func TestKernelThrottleByFreezing(t *testing.T) {
	s := realSubtree(t)
	g := realGroup(t, s, GroupLimits{})
	inJob(t, g, "spin", "4")
	measured := func() time.Duration {
		used, err := g.CPUTime()
		require.NoError(t, err)
		return used
	}
	const share = CPU(200)
	throttle := NewThrottle(share, runtime.NumCPU())
	begun, before, running := Now(), measured(), true
	for Now()-begun < 1500*time.Millisecond {
		now := Now()
		run, next := throttle.Step(now, measured(), 4)
		if run != running {
			require.NoError(t, g.Freeze(!run))
			running = run
		}
		if frozen, err := g.Frozen(); !running && err == nil && frozen {
			throttle.Landed(now)
		}
		<-time.After(min(now+next-Now(), time.Second))
	}
	got := float64(measured()-before) / float64(Now()-begun)
	// Below its share a job can be for many reasons: a busy machine, or the
	// debt of a stop that landed late. Above it, for none.
	assert.Less(t, got, 0.23)
	assert.Greater(t, got, 0.02)
	assert.False(t, throttle.Resists())
}
