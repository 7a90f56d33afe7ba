package limits

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
)

// Tests of this file run on a real cgroup v2, as an unprivileged user in a
// delegated group. They move the test process into a leaf of that group.

// feature names what package lane probes for a controller.
var feature = map[string]string{
	"memory": "cgroup2", "pids": "cgroup2", "cpu": "cgroup-cpu", "io": "cgroup-io", "cpuset": "cpuset",
}

func realSubtree(t *testing.T, need ...string) *Subtree {
	lane.Require(t, "unprivileged", "cgroup-any")
	for _, name := range need {
		lane.Require(t, feature[name])
	}
	s, err := FindSubtree(FindOptions{Need: need, Want: allControllers, Evacuate: true})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func realGroup(t *testing.T, s *Subtree, l GroupLimits) *Group {
	return realGroupNamed(t, s, "test", l)
}

func realGroupNamed(t *testing.T, s *Subtree, id string, l GroupLimits) *Group {
	g, err := s.NewGroup(id, l)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = g.Kill()
		assert.NoError(t, g.Remove())
	})
	return g
}

// inJob starts a helper in the job's leaf and waits until it says something.
func inJob(t *testing.T, g *Group, name string, args ...string) *exec.Cmd {
	cmd := into(helper(t, name, args...), g.JobFD())
	line, err := firstLine(cmd)
	require.NoError(t, err)
	require.Equal(t, "ready", line)
	t.Cleanup(func() { _ = g.Kill(); _ = cmd.Wait() })
	return cmd
}

func kernelFile(t *testing.T, name string) string {
	text, err := os.ReadFile(name)
	require.NoError(t, err, name)
	return strings.TrimSpace(string(text))
}

func TestKernelGroupFiles(t *testing.T) {
	s := realSubtree(t, "memory", "pids", "cpu")
	g := realGroup(t, s, GroupLimits{Memory: 64 * MiB, CPU: 200, Tasks: 16})
	for file, want := range map[string]string{
		"memory.max": "67108864", "memory.swap.max": "0", "cpu.max": "20000 100000", "pids.max": "17",
		"job/pids.max": "16", "job/memory.oom.group": "1", "memory.oom.group": "0",
		"cgroup.max.depth": "1", "cgroup.max.descendants": "2", "cgroup.subtree_control": "memory pids",
	} {
		if _, err := os.Stat(filepath.Join(g.Path(), file)); file == "memory.swap.max" && err != nil {
			continue // a kernel without swap
		}
		assert.Equal(t, want, kernelFile(t, filepath.Join(g.Path(), file)), file)
	}
	require.NoError(t, g.Verify())
	require.NoError(t, os.WriteFile(filepath.Join(g.Path(), "memory.max"), []byte("max"), 0))
	require.ErrorIs(t, g.Verify(), ErrChanged)
}

func TestKernelMemoryRoundsToPages(t *testing.T) {
	s := realSubtree(t, "memory")
	g := realGroup(t, s, GroupLimits{Memory: 64*MiB + 1})
	require.NoError(t, g.Verify())
}

func TestKernelMemoryLimit(t *testing.T) {
	s := realSubtree(t, "memory", "pids")
	const limit = 48 * MiB
	g := realGroup(t, s, GroupLimits{Memory: limit})
	bystander := into(helper(t, "idle"), g.InitFD())
	line, err := firstLine(bystander)
	require.NoError(t, err)
	require.Equal(t, "ready", line)
	defer func() { _ = g.Kill(); _ = bystander.Wait() }()

	require.NoError(t, into(helper(t, "alloc", "8"), g.JobFD()).Run(), "control: a small one lives")
	before, err := g.Usage()
	require.NoError(t, err)
	assert.Equal(t, Opt[uint64]{0, true}, before.Memory.OOMKills)

	hog := into(helper(t, "alloc", "150"), g.JobFD())
	require.Error(t, hog.Run())
	assert.Equal(t, syscall.SIGKILL, hog.ProcessState.Sys().(syscall.WaitStatus).Signal())
	u, err := g.Usage()
	require.NoError(t, err)
	assert.Positive(t, u.Memory.OOMKills.Value)
	assert.Positive(t, u.Memory.OwnOOMs.Value)
	assert.Positive(t, u.Memory.LimitHits.Value)
	if u.Memory.Peak.Known { // Linux 5.19
		assert.LessOrEqual(t, u.Memory.Peak.Value, limit+64*KiB)
		assert.Greater(t, u.Memory.Peak.Value, limit-8*MiB)
	}
	require.NoError(t, bystander.Process.Signal(unix.Signal(0)), "pid 1's leaf is not in the OOM group")
	populated, err := g.run.event("populated")
	require.NoError(t, err)
	assert.True(t, populated)
}

// Whose limit was it? The group's own has room, the one around it has not.
func TestKernelMemoryLimitOfSomebodyElse(t *testing.T) {
	s := realSubtree(t, "memory", "pids")
	outer := realGroupNamed(t, s, "outer", GroupLimits{Memory: 48 * MiB})
	require.NoError(t, outer.run.write("cgroup.max.depth", "max"))
	require.NoError(t, outer.run.write("cgroup.max.descendants", "max"))
	require.NoError(t, outer.job.write("cgroup.subtree_control", "+memory +pids"))
	inside := &Subtree{dir: outer.job, proc: s.proc, self: s.self, controllers: []string{"memory", "pids"}}
	g, err := inside.NewGroup("inner", GroupLimits{Memory: GiB})
	require.NoError(t, err)
	defer func() { assert.NoError(t, g.Remove()) }()

	hog := into(helper(t, "alloc", "150"), g.JobFD())
	require.Error(t, hog.Run())
	require.Equal(t, syscall.SIGKILL, hog.ProcessState.Sys().(syscall.WaitStatus).Signal())
	u, err := g.Usage()
	require.NoError(t, err)
	assert.Positive(t, u.Memory.OOMKills.Value)
	assert.Equal(t, Opt[uint64]{0, true}, u.Memory.OwnOOMs)
	assert.Equal(t, Opt[uint64]{0, true}, u.Memory.LimitHits)
}

func TestKernelCPUSet(t *testing.T) {
	s := realSubtree(t, "cpuset")
	g := realGroup(t, s, GroupLimits{CPUSet: "0"})
	out, err := into(exec.Command("/usr/bin/nproc"), g.JobFD()).Output()
	require.NoError(t, err)
	assert.Equal(t, "1\n", string(out))
	_, err = s.NewGroup("far", GroupLimits{CPUSet: "4095"})
	require.Error(t, err, "the kernel would quietly take all CPUs instead")
	require.ErrorContains(t, err, "4095")
	assert.NoDirExists(t, filepath.Join(s.Path(), s.self.groupName("far")))
}

func TestKernelTaskLimit(t *testing.T) {
	s := realSubtree(t, "pids")
	g := realGroup(t, s, GroupLimits{Tasks: 5})
	// Every sleep is one task; the shell is one too. Its fork fails once.
	cmd := into(exec.Command("/bin/sh", "-c", `for i in 1 2 3 4 5 6 7 8; do sleep 60 >/dev/null 2>&1 & done; echo not reached`), g.JobFD())
	out, _ := cmd.CombinedOutput()
	assert.NotContains(t, string(out), "not reached")
	u, err := g.Usage()
	require.NoError(t, err)
	assert.Positive(t, u.Pids.LimitHits.Value)
	if u.Pids.Peak.Known { // Linux 6.1
		assert.EqualValues(t, 5, u.Pids.Peak.Value)
	}
	assert.EqualValues(t, 4, u.Pids.Current.Value, "the shell has given up, its children sleep")

	control := realGroupNamed(t, s, "control", GroupLimits{Tasks: 32})
	cmd = into(exec.Command("/bin/sh", "-c", `for i in 1 2 3 4 5 6 7 8; do sleep 60 >/dev/null 2>&1 & done; echo reached`), control.JobFD())
	out, err = cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "reached\n", string(out))
}

func TestKernelCPULimit(t *testing.T) {
	s := realSubtree(t, "cpu")
	g, free := realGroup(t, s, GroupLimits{CPU: 200}), realGroupNamed(t, s, "control", GroupLimits{})
	inJob(t, g, "spin", "2")
	inJob(t, free, "spin", "1")
	times := func() (held, control time.Duration) {
		held, err := g.CPUTime()
		require.NoError(t, err)
		control, err = free.CPUTime()
		require.NoError(t, err)
		return held, control
	}
	held, control := times()
	for start := Now(); Now()-start < time.Second; {
		_ = g.WaitEmpty(100 * time.Millisecond)
	}
	heldLater, controlLater := times()
	// One CPU is shared 20:80, of several the control has one. Both sides lose
	// what the machine loses meanwhile.
	share := float64(heldLater-held) / float64(controlLater-control)
	want := 0.25
	if lane.Has("smp").Yes {
		want = 0.2
	}
	assert.InDelta(t, want, share, want/4)
	u, err := g.Usage()
	require.NoError(t, err)
	assert.Positive(t, u.CPU.Throttles.Value)
	assert.Positive(t, u.CPU.Throttled.Value)
}

// What goes past the page cache waits.
func TestKernelDiskRates(t *testing.T) {
	s := realSubtree(t, "io")
	devices, err := BlockDevices()
	require.NoError(t, err)
	if len(devices) == 0 {
		t.Skip("this lane has no block device")
	}
	file := filepath.Join(lane.Scratch(t), "f") // on a disk, in the lanes
	const size, rate = 4 * MiB, 2 * MiB
	moved := func(id string, l GroupLimits, args ...string) (IOUsage, time.Duration) {
		l.IODevices = devices
		g := realGroupNamed(t, s, id, l)
		begun := Now()
		out, err := into(exec.Command("/bin/dd", append(args, "bs=256k", "count=16")...), g.JobFD()).CombinedOutput()
		require.NoError(t, err, string(out))
		took := Now() - begun
		u, err := g.Usage()
		require.NoError(t, err)
		return u.IO, took
	}
	write, read := []string{"if=/dev/zero", "of=" + file, "oflag=direct"}, []string{"if=" + file, "of=/dev/null", "iflag=direct"}
	wrote, freeWrite := moved("free-write", GroupLimits{}, write...)
	has, freeRead := moved("free-read", GroupLimits{}, read...)
	assert.GreaterOrEqual(t, wrote.WriteBytes.Value, size)
	assert.GreaterOrEqual(t, has.ReadBytes.Value, size)
	// What has begun when the rate is used up is let through.
	_, held := moved("write", GroupLimits{IOWrite: rate}, write...)
	assert.Greater(t, held, max(1400*time.Millisecond, 2*freeWrite), "4 MiB at 2 MiB a second; control: without a limit")
	_, held = moved("read", GroupLimits{IORead: rate}, read...)
	assert.Greater(t, held, max(1400*time.Millisecond, 2*freeRead))
}

func TestKernelCPUTimeOfDaemons(t *testing.T) {
	s := realSubtree(t)
	burnt := func(id, rounds string) time.Duration {
		g := realGroupNamed(t, s, id, GroupLimits{})
		daemon := `setsid sh -c 'i=0; while [ $i -lt ` + rounds + ` ]; do i=$((i+1)); done' >/dev/null 2>&1 &`
		require.NoError(t, into(exec.Command("/bin/sh", "-c", daemon), g.JobFD()).Run(), "its parent ends at once")
		require.NoError(t, g.WaitEmpty(time.Minute), "the daemon ends by itself")
		used, err := g.CPUTime()
		require.NoError(t, err)
		return used
	}
	assert.Greater(t, burnt("daemon", "400000"), burnt("control", "1")+50*time.Millisecond)
}

func TestKernelUsageOfABareGroup(t *testing.T) {
	s := realSubtree(t)
	g := realGroup(t, s, GroupLimits{})
	inJob(t, g, "idle")
	u, err := g.Usage()
	require.NoError(t, err)
	assert.True(t, u.CPU.Total.Known && u.CPU.User.Known && u.CPU.System.Known)
	assert.Equal(t, slices.Contains(s.Controllers(), "memory"), u.Memory.Current.Known, "absent, not zero")
	assert.Equal(t, slices.Contains(s.Controllers(), "memory"), u.Memory.OOMKills.Known)
	assert.Equal(t, slices.Contains(s.Controllers(), "pids"), u.Pids.Current.Known)
	assert.Equal(t, slices.Contains(s.Controllers(), "io"), u.IO.ReadBytes.Known)
	assert.Equal(t, lane.Has("psi").Yes, u.Pressure.CPU.Known)
}

func TestKernelFreeze(t *testing.T) {
	s := realSubtree(t)
	g := realGroup(t, s, GroupLimits{})
	inJob(t, g, "spin", "2")
	require.NoError(t, g.Freeze(true))
	w, err := watch(g.job)
	require.NoError(t, err)
	defer w.close()
	for deadline := Now() + 5*time.Second; ; {
		frozen, err := g.Frozen()
		require.NoError(t, err)
		if frozen {
			break
		}
		require.Less(t, Now(), deadline)
		require.NoError(t, w.wait(10*time.Millisecond))
	}
	at, err := g.CPUTime()
	require.NoError(t, err)
	_ = g.WaitEmpty(50 * time.Millisecond)
	later, err := g.CPUTime()
	require.NoError(t, err)
	assert.Equal(t, at, later, "a frozen job burns nothing")
	require.NoError(t, g.Freeze(false))
	for deadline := Now() + 5*time.Second; later == at; {
		require.Less(t, Now(), deadline, "a thawed job goes on")
		_ = g.WaitEmpty(10 * time.Millisecond)
		later, err = g.CPUTime()
		require.NoError(t, err)
	}
}

func TestKernelKill(t *testing.T) {
	s := realSubtree(t)
	for name, kill := range map[string]func(*Group) error{
		"cgroup.kill": (*Group).Kill,
		"by hand": func(g *Group) error { // as before Linux 5.14
			for _, leaf := range []dir{g.job, g.init} {
				if err := killByHand(leaf); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "cgroup.kill" {
				lane.Require(t, "cgroup.kill")
			}
			g := realGroup(t, s, GroupLimits{})
			inJob(t, g, "idle")
			stopped := inJob(t, g, "spin", "1")
			require.NoError(t, stopped.Process.Signal(unix.SIGSTOP))
			forker := into(exec.Command("/bin/sh", "-c", `echo ready; while :; do (exec true); done`), g.JobFD())
			_, err := firstLine(forker)
			require.NoError(t, err)
			pidOne := into(helper(t, "idle"), g.InitFD())
			_, err = firstLine(pidOne)
			require.NoError(t, err)

			require.NoError(t, kill(g))
			for _, cmd := range []*exec.Cmd{forker, pidOne, stopped} {
				_ = cmd.Wait()
				assert.Equal(t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
			}
			require.NoError(t, g.WaitEmpty(5*time.Second))
			require.NoError(t, kill(g), "an empty group can be killed")
		})
	}
}

// A job that has used up its share for the period dies at once all the same.
func TestKernelKillJobWhileThrottled(t *testing.T) {
	s := realSubtree(t, "cpu")
	lane.Require(t, "cgroup.kill")
	const share = 100 // of 1000: 10 ms in 100
	g := realGroup(t, s, GroupLimits{CPU: share})
	pidOne := into(helper(t, "idle"), g.InitFD())
	_, err := firstLine(pidOne)
	require.NoError(t, err)
	spinning := inJob(t, g, "spin", "2")
	throttled := func() uint64 {
		u, err := g.Usage()
		require.NoError(t, err)
		return u.CPU.Throttles.Value
	}
	for deadline := Now() + 10*time.Second; throttled() == 0; {
		require.Less(t, Now(), deadline)
		_ = g.WaitEmpty(10 * time.Millisecond)
	}
	require.NoError(t, g.KillJob())
	_ = spinning.Wait()
	assert.Equal(t, syscall.SIGKILL, spinning.ProcessState.Sys().(syscall.WaitStatus).Signal())
	assert.Equal(t, "max 100000", kernelFile(t, g.Path()+"/cpu.max"))
	assert.NoError(t, g.Verify(), "it was we")
	require.NoError(t, unix.Kill(pidOne.Process.Pid, 0), "pid 1 is there to report")
	require.NoError(t, g.KillJob(), "twice is once")
	require.NoError(t, g.Kill())
	_ = pidOne.Wait()

	// What somebody else has changed stays, to be found.
	changed := realGroupNamed(t, s, "changed", GroupLimits{CPU: share})
	require.NoError(t, os.WriteFile(changed.Path()+"/cpu.max", []byte("5000 100000"), 0))
	require.NoError(t, changed.KillJob())
	assert.ErrorIs(t, changed.Verify(), ErrChanged)
}

func TestKernelWaitEmptyWakesAtOnce(t *testing.T) {
	s := realSubtree(t)
	g := realGroup(t, s, GroupLimits{})
	cmd := inJob(t, g, "idle")
	require.ErrorIs(t, g.WaitEmpty(10*time.Millisecond), os.ErrDeadlineExceeded)
	done := make(chan error, 1)
	go func() { done <- g.WaitEmpty(time.Minute) }()
	require.NoError(t, g.Kill())
	_ = cmd.Wait()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("not woken")
	}
}

func TestKernelJoinByDescriptor(t *testing.T) {
	s := realSubtree(t)
	g := realGroup(t, s, GroupLimits{})
	fd, err := g.OpenJobProcs()
	require.NoError(t, err)
	procs := os.NewFile(uintptr(fd), "cgroup.procs")
	defer procs.Close()
	cmd := into(helper(t, "join"), g.InitFD())
	cmd.ExtraFiles = []*os.File{procs}
	cmd.Stdin = strings.NewReader("x")
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(strings.TrimSpace(string(out)), "/"+filepath.Base(g.Path())+"/job"), string(out))
}

func TestKernelJobCannotLitter(t *testing.T) {
	s := realSubtree(t)
	g := realGroup(t, s, GroupLimits{})
	cmd := into(helper(t, "litter", filepath.Join(g.Path(), jobLeaf)), g.JobFD())
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "0 mkdir "+filepath.Join(g.Path(), jobLeaf, "litter0")+": resource temporarily unavailable\n", string(out))

	require.NoError(t, g.run.write("cgroup.max.depth", "max"))
	require.NoError(t, g.run.write("cgroup.max.descendants", "max"))
	out, err = into(helper(t, "litter", filepath.Join(g.Path(), jobLeaf)), g.JobFD()).Output()
	require.NoError(t, err)
	require.Equal(t, "10 made\n", string(out), "control: without the two files it can")
	require.NoError(t, g.Remove(), "removal is recursive")
}
