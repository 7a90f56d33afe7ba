package sandbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

func TestCPUTime(t *testing.T) {
	for name, script := range map[string]string{
		"itself":   "while :; do :; done",
		"child":    "sh -c 'while :; do :; done'",
		"daemon":   "setsid sh -c 'while :; do :; done' & sleep 60",
		"ignoring": "trap '' CHLD; sh -c 'while :; do :; done' & sleep 60",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, _, _ := shell(t, script, func(c *sandbox.Cmd) { c.Limits.CPUTime, c.Limits.Wall = 300*time.Millisecond, 30*time.Second })
			assert.Equal(t, sandbox.CPUTime, res.Verdict, res.Cause)
			assert.GreaterOrEqual(t, res.CPU.Total, 300*time.Millisecond)
		})
	}
}

func TestMemory(t *testing.T) {
	const limit = 64 << 20
	for name, script := range map[string]string{
		"anonymous":    "head -c 300m /dev/zero | tail >/dev/null",
		"tmpfs":        "head -c 300m /dev/zero > /tmp/f",
		"unlinked":     "exec 3>/tmp/f; rm /tmp/f; head -c 300m /dev/zero >&3",
		"shm":          "head -c 300m /dev/zero > /dev/shm/f",
		"many":         "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero bs=20M count=1 2>/dev/null | sleep 60 & done; wait",
		"orphan":       "(setsid sh -c 'head -c 300m /dev/zero | tail >/dev/null' &); sleep 60",
		"child, exits": "head -c 300m /dev/zero | tail >/dev/null; exit 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, _, _ := shell(t, script, func(c *sandbox.Cmd) {
				c.Limits.Memory, c.Limits.Disk, c.Limits.Wall = limit, 512<<20, 60*time.Second
			})
			assert.Equal(t, sandbox.MemoryLimit, res.Verdict, res.Cause)
		})
	}
	res, _, _ := shell(t, "head -c 20m /dev/zero | tail >/dev/null", func(c *sandbox.Cmd) { c.Limits.Memory = limit })
	assert.Equal(t, sandbox.Exited, res.Verdict, "the control: %s", res.Cause)
}

func TestShare(t *testing.T) {
	for name, script := range map[string]string{
		"one":  "timeout 60 sh -c 'while :; do :; done'",
		"four": "for i in 1 2 3 4; do sh -c 'while :; do :; done' & done; sleep 60",
	} {
		t.Run(name, func(t *testing.T) {
			const span = 3 * time.Second
			res, _, _ := shell(t, script, func(c *sandbox.Cmd) { c.Limits.CPU, c.Limits.Wall = 200, span })
			require.Equal(t, sandbox.WallTime, res.Verdict, res.Cause)
			share := float64(res.CPU.Total) / float64(res.Wall)
			t.Logf("%s: share %.3f", name, share)
			// The figure, ± 0.03 over 5 s on a quiet machine, is a benchmark's; on
			// a busy one it may come to less than its share, not to more.
			assert.Less(t, share, 0.26)
		})
	}
}

// TestShareResisted is rows A100 and A101 of the attack table.
func TestShareResisted(t *testing.T) {
	for name, script := range map[string]string{
		"continues itself":  "while :; do kill -CONT -1 2>/dev/null; done & while :; do kill -CONT -1; done",
		"ignores SIGCHLD":   "trap '' CHLD; while :; do sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; done",
		"many continue all": "for i in 1 2 3 4 5 6; do (while :; do kill -CONT -1; done) & done; wait",
	} {
		t.Run(name, func(t *testing.T) {
			res, _, _ := shell(t, script, func(c *sandbox.Cmd) { c.Limits.CPU, c.Limits.Wall = 200, 3*time.Second })
			t.Log(res.Verdict, res.Cause, res.CPU.Total, res.Wall)
			if res.Verdict == sandbox.WallTime { // it obeyed, in the mean
				assert.Less(t, float64(res.CPU.Total)/float64(res.Wall), 0.3)
				return
			}
			assert.Equal(t, sandbox.CPUShare, res.Verdict, res.Cause)
		})
	}
}

func TestPids(t *testing.T) {
	script := `i=0; while [ $i -lt 60 ]; do sleep 60 & i=$((i+1)); done; echo made $i`
	res, out, _ := shell(t, script, func(c *sandbox.Cmd) { c.Limits.Pids = 20 })
	assert.NotContains(t, out, "made 60")
	assert.Equal(t, sandbox.Exited, res.Verdict)
	_, out, _ = shell(t, script, nil)
	assert.Contains(t, out, "made 60", "the control")
}

func TestDisk(t *testing.T) {
	res, out, _ := shell(t, `for d in /tmp /home/job /dev/shm /var/tmp /; do head -c 30m /dev/zero > $d/f 2>/dev/null || echo full; done; rm -f /tmp/f; i=0; while [ $i -lt 300 ]; do : > /tmp/$i || break; i=$((i+1)); done 2>/dev/null; echo $i`,
		func(c *sandbox.Cmd) { c.Limits.Disk, c.Limits.Inodes = 20<<20, 300 })
	assert.Equal(t, sandbox.Exited, res.Verdict)
	assert.Contains(t, out, "full\nfull\nfull\nfull\nfull\n")
	assert.NotContains(t, out, "300")
}

// The kernel holds the rates of a disk: what goes past the page cache waits.
func TestDiskRates(t *testing.T) {
	lane.Require(t, "cgroup-io")
	dir := lane.Scratch(t) // on a disk, in the lanes
	if devices, err := limits.BlockDevices(); err != nil || len(devices) == 0 {
		t.Skipf("no block device: %v", err)
	}
	const size, rate = 4 * limits.MiB, 2 * limits.MiB
	moved := func(script string, l sandbox.Limits) *sandbox.Result {
		res, _, errs := shell(t, script, func(c *sandbox.Cmd) {
			c.Limits, c.Evacuate = l, true
			c.Binds = []sandbox.Bind{{Source: dir, Target: "/disk", Writable: true}}
		})
		require.Equal(t, sandbox.Exited, res.Verdict, errs)
		require.Equal(t, 0, *res.ExitCode, errs)
		require.NotNil(t, res.IO, "the group counts")
		return res
	}
	const write, read = "dd if=/dev/zero of=/disk/f bs=256k count=16 oflag=direct", "dd if=/disk/f of=/dev/null bs=256k iflag=direct"
	free := moved(write+" && "+read, sandbox.Limits{IORead: limits.GiB, IOWrite: limits.GiB}) // a run with the controller
	assert.GreaterOrEqual(t, *free.IO.Write, int64(size))
	assert.GreaterOrEqual(t, *free.IO.Read, int64(size))
	for script, l := range map[string]sandbox.Limits{write: {IOWrite: rate}, read: {IORead: rate}} {
		held := moved(script, l)
		// What has begun when the rate is used up is let through.
		assert.Greater(t, held.Wall, 1400*time.Millisecond, "%s: 4 MiB at 2 MiB a second", script)
		assert.Greater(t, held.Wall, 2*free.Wall, "control: both ways without the limits")
		assert.Equal(t, "cgroup io.max", held.Limits[0].Mechanism)
		assert.Equal(t, "kernel", held.Limits[0].EnforcedBy)
	}
}
