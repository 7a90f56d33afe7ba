package lane

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// lacks says for each lane which features it does not have; all others it has.
func lacks() map[string][]string {
	return map[string][]string{
		"uml":  {"asan", "netfilter", "proc-syscall", "landlock", "apparmor", "psi", "smp", "cpuset", "swap", "userbus", "tmpfs-upper"},
		"qemu": {"native", "swap", "userbus", "tmpfs-upper"},

		"qemu-5.10": {"native", "swap", "userbus", "tmpfs-upper", "cgroup.kill", "landlock", "nproc", "overlay"},
		"qemu-6.1":  {"native", "swap", "userbus", "tmpfs-upper"},
		"qemu-6.12": {"native", "swap", "userbus"},
		"qemu-7.3":  {"native", "swap", "userbus"},

		"systemd": {"asan", "netfilter", "proc-syscall", "landlock", "apparmor", "psi", "smp", "cpuset", "swap", "tmpfs-upper", "cgroup-any", "cgroup2", "cgroup-cpu", "cgroup-io"},
	}
}

// In a lane the answers are known, so a wrong probe shows, and so does a lane that loses something.
func TestFeatures(t *testing.T) {
	want, known := lacks()[Name()]
	programs := []string{"slirp4netns", "pasta", "fuse-overlayfs"} // the host's, not the lane's
	for _, f := range Features() {
		a := Has(f)
		t.Logf("%-12s %v %s", f, a.Yes, a.Why)
		require.NoError(t, a.Err, f)
		assert.NotEqual(t, a.Yes, a.Why != "", "%s: a reason, and only for a no", f)
		if known && os.Getenv("JAILRUN_SHAPE") == "" && !slices.Contains(programs, f) {
			assert.Equal(t, !slices.Contains(want, f), a.Yes, "%s: %s", f, a.Why)
		}
	}
}

// recorder is a testing.TB that notes how Require ended the test.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Skip(...any)           { r.skipped = true }
func (r *recorder) Fatalf(string, ...any) { r.failed = true }

func TestRequire(t *testing.T) {
	defer answers.Clear()
	answers.Store("tun", yes())
	answers.Store("fuse", no("a reason"))
	answers.Store("psi", failed(errors.New("broken")))
	for _, c := range []struct {
		name, require   string
		features        []string
		skipped, failed bool
	}{
		{name: "there", features: []string{"tun"}},
		{name: "missing", features: []string{"tun", "fuse"}, skipped: true},
		{name: "missing but required", features: []string{"fuse"}, require: "tun,fuse", failed: true},
		{name: "missing, all required", features: []string{"fuse"}, require: "all", failed: true},
		{name: "another one required", features: []string{"fuse"}, require: "tun", skipped: true},
		{name: "the probe failed", features: []string{"psi"}, failed: true},
		{name: "no such feature", features: []string{"fusee"}, failed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("JAILRUN_REQUIRE", c.require)
			r := &recorder{TB: t}
			Require(r, c.features...)
			assert.Equal(t, c.failed, r.failed)
			assert.Equal(t, c.skipped, r.skipped && !r.failed)
		})
	}
}

func TestVerdict(t *testing.T) {
	assert.True(t, verdict(nil).Yes)
	a := verdict(&os.PathError{Op: "open", Path: "x", Err: unix.EACCES})
	assert.False(t, a.Yes)
	assert.Equal(t, "open x: permission denied", a.Why)
	assert.ErrorIs(t, verdict(unix.EMFILE).Err, unix.EMFILE)
}

func TestScratch(t *testing.T) {
	dir := Scratch(t)
	assert.NoError(t, unix.Setxattr(dir, "user.x", []byte("1"), 0))
}
