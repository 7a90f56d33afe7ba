package sandbox_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// TestDiskLimit is row A61: wherever a job writes, it meets ENOSPC at its own
// limit, and the result says so.
func TestDiskLimit(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"home", `head -c 20M /dev/zero > f`},
		{"tmp", `head -c 20M /dev/zero > /tmp/f`},
		{"shm", `head -c 20M /dev/zero > /dev/shm/f`},
		{"var", `head -c 20M /dev/zero > /var/tmp/f`},
		{"the root", `head -c 20M /dev/zero > /f`},
		{"fallocate", `fallocate -l 20M f`},
		{"together", `head -c 3M /dev/zero > /tmp/f; head -c 3M /dev/zero > /dev/shm/f; head -c 3M /dev/zero > f`},
		{"a tmpfs", `head -c 5M /dev/zero > /t/f`},
		{"a tmpfs and the rest", `head -c 3M /dev/zero > /t/f && head -c 7M /dev/zero > f`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res, _, errs := shell(t, tt.script, func(c *sandbox.Cmd) {
				c.Limits.Disk = 8 * limits.MiB
				c.Tmpfs = []sandbox.Tmpfs{{Target: "/t", Size: 3 * limits.MiB}}
			})
			assert.Contains(t, errs, "No space left on device")
			assert.Equal(t, sandbox.Exited, res.Verdict, "a full disk is an error of the job's, not its end")
			assert.LessOrEqual(t, res.Disk.Peak, int64(8*limits.MiB))
			if tt.name == "fallocate" {
				return // it took nothing when it failed: nobody saw it
			}
			assert.Positive(t, res.Disk.LimitHits)
			assert.True(t, res.Disk.Full)
			assert.Contains(t, res.Hint, "raise --disk")
		})
	}
	res, _, errs := shell(t, "head -c 3M /dev/zero > f", func(c *sandbox.Cmd) { c.Limits.Disk = 8 * limits.MiB })
	assert.Empty(t, errs, "the control")
	assert.Zero(t, res.Disk.LimitHits)
	assert.GreaterOrEqual(t, res.Disk.Peak, int64(3*limits.MiB))
}

// TestInodesLimit is row A62.
func TestInodesLimit(t *testing.T) {
	for _, make := range []string{`open F, ">f$_" or die`, `symlink "x", "l$_" or die`, `link "/tmp/one", "h$_" or die $!`, `mkdir "d$_" or die`} {
		res, _, _ := shell(t, `touch /tmp/one; perl -e 'for (1..100000) { `+make+` }'`, func(c *sandbox.Cmd) { c.Limits.Inodes = 1000 })
		assert.NotZero(t, *res.ExitCode, make)
		assert.Positive(t, res.Disk.LimitHits, make)
		assert.LessOrEqual(t, res.Disk.Inodes, int64(1000), make)
	}
}

// TestFullAndEmptied: that an area was full is known although it is not at the
// end.
func TestFullAndEmptied(t *testing.T) {
	res, _, _ := shell(t, "head -c 20M /dev/zero > f; sleep 0.5; rm f", func(c *sandbox.Cmd) { c.Limits.Disk = 8 * limits.MiB })
	assert.False(t, res.Disk.Full)
	assert.Positive(t, res.Disk.LimitHits)
	assert.GreaterOrEqual(t, res.Disk.Peak, int64(7*limits.MiB))
}

// TestKeptLayerIsBounded: what is kept on the caller's disk has no kernel's
// bound; the runner ends the job, and the ledger says who holds the limit.
func TestKeptLayerIsBounded(t *testing.T) {
	base := lane.Scratch(t)
	root := filepath.Join(base, "root")
	smallRoot(t, root)
	run := func(script string, more func(*sandbox.Cmd)) *sandbox.Result {
		res, _, _ := shell(t, script, func(c *sandbox.Cmd) {
			c.Rootfs, c.Upper = root, filepath.Join(base, "kept")
			c.Limits.Disk = 8 * limits.MiB
			if more != nil {
				more(c)
			}
		})
		return res
	}
	res := run("echo x > /opt/x; perl -e 'select undef, undef, undef, 0.2'", nil)
	require.Equal(t, sandbox.Exited, res.Verdict, "the control")
	var row *sandbox.Enforced
	for i, l := range res.Limits {
		if l.Name == "disk" && l.EnforcedBy == "watchdog" {
			row = &res.Limits[i]
		}
	}
	require.NotNil(t, row)
	assert.Equal(t, "mistakes", row.HoldsAgainst)

	res = run(`perl -e 'open F, ">/opt/big"; $|=1; for (1..200) { syswrite F, "x" x 1000000; select undef, undef, undef, 0.02 } sleep 60'`, nil)
	assert.Equal(t, sandbox.DiskLimit, res.Verdict, res.Cause)
	assert.Positive(t, res.Disk.LimitHits)
	res = run(`perl -e 'for (1..1000000) { open F, ">/opt/f$_"; select undef, undef, undef, 0.001 } sleep 60'`, func(c *sandbox.Cmd) {
		c.Limits.Disk, c.Limits.Inodes = 64*limits.MiB, 200
	})
	assert.Equal(t, sandbox.DiskLimit, res.Verdict, res.Cause)
	assert.Contains(t, res.Cause, "200 inodes")
}

// TestKeptLayerOnSmallDisk: where the kernel lets the kept layer have no more
// than the limit, the ledger says that it does, and the job meets ENOSPC.
func TestKeptLayerOnSmallDisk(t *testing.T) {
	lane.Require(t, "tmpfs-upper") // the small disk is one
	dir, inside := withMounts(t, "mkdir small; mount -t tmpfs -o size=4m,mode=777 none small", func(dir string) {
		smallRoot(t, filepath.Join(dir, "root"))
	})
	if !inside {
		return
	}
	fill := func(limit limits.Size) (*sandbox.Result, string, string) {
		res, _, errs := shell(t, `perl -e 'open F, ">/opt/big"; for (1..60) { syswrite F, "x" x 100000 or die "$!\n" }'`, func(c *sandbox.Cmd) {
			c.Rootfs, c.Upper = filepath.Join(dir, "root"), filepath.Join(dir, "small/kept")
			c.Limits.Disk = limit
		})
		for _, l := range res.Limits {
			if l.Name == "disk" && strings.Contains(l.Mechanism, "kept layer") {
				return res, l.EnforcedBy, errs
			}
		}
		return res, "", errs
	}
	_, by, errs := fill(3 * limits.MiB)
	assert.Equal(t, "watchdog", by, errs)
	res, by, errs := fill(8 * limits.MiB)
	assert.Equal(t, "kernel", by)
	assert.Equal(t, sandbox.Exited, res.Verdict)
	assert.Contains(t, errs, "No space left on device")
	assert.Positive(t, res.Disk.LimitHits)
}

func TestTmpfsOverDisk(t *testing.T) {
	c := sandbox.Command("true")
	c.CWD = sandbox.CWDNone
	c.Limits.Disk = 8 * limits.MiB
	c.Tmpfs = []sandbox.Tmpfs{{Target: "/a", Size: 4 * limits.MiB}, {Target: "/b", Size: 4 * limits.MiB}}
	_, err := c.Run(t.Context())
	require.ErrorContains(t, err, "leave less than 1 MiB of --disk 8 MiB")
}
