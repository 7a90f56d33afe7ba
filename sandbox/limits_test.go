package sandbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// What a judge asks for is not the sum that the limit counts: a job that holds
// 20 MiB of its own and 40 MiB of files.
func TestAnonymousPeak(t *testing.T) {
	res, _, _ := shell(t, "head -c 40m /dev/zero >/tmp/f; (head -c 20m /dev/zero; sleep 1) | tail >/dev/null", func(c *sandbox.Cmd) {
		c.Limits.Memory, c.Limits.Disk = 128<<20, 512<<20
	})
	require.Equal(t, sandbox.Exited, res.Verdict, res.Cause)
	if res.Tier != sandbox.TierCgroup {
		assert.Nil(t, res.Memory.AnonPeak, "the watchdog cannot tell")
		return
	}
	require.NotNil(t, res.Memory.AnonPeak)
	assert.InDelta(t, 24<<20, *res.Memory.AnonPeak, 4<<20)
	assert.LessOrEqual(t, *res.Memory.AnonPeak+(36<<20), *res.Memory.Peak)
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
	lane.Require(t, "native") // half a second is what the watchdog has
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
