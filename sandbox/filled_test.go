package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// mountedFor names, in a process that [withMounts] started, the directory with
// the mounts.
const mountedFor = "JAILRUN_TEST_MOUNTED"

// withMounts runs the test once more, by itself, in a namespace where a script
// has made mounts in dir, whose owner the process then is but not the
// namespace's root. It reports whether this is that process.
func withMounts(t *testing.T, script string, fill func(dir string)) (dir string, inside bool) {
	t.Helper()
	if dir := os.Getenv(mountedFor); dir != "" {
		return dir, true
	}
	lane.Require(t, "unprivileged", "userns")
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("unshare of util-linux is not installed")
	}
	dir = lane.Scratch(t)
	fill(dir)
	self, err := os.Open("/proc/self/exe") // its directory may be closed to this user
	require.NoError(t, err)
	defer self.Close()
	args := []string{
		"--user", "--map-root-user", "--mount", "sh", "-ec", `cd "$1"; shift; ` + script + `; exec unshare --user "$@"`, "sh", dir,
		"--map-user=" + strconv.Itoa(os.Geteuid()), "--map-group=" + strconv.Itoa(os.Getegid()),
		"/proc/self/fd/3", "-test.run=^" + t.Name() + "$", "-test.v",
	}
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Env = append(os.Environ(), mountedFor+"="+dir)
	cmd.ExtraFiles = []*os.File{self}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "--- PASS: "+t.Name(), "it ran there")
	return "", false
}

// twoOverlays shows lower as two: the kernel stacks two and refuses a third.
const twoOverlays = `mkdir empty one two
	mount -t overlay -o lowerdir=lower:empty,userxattr overlay one
	mount -t overlay -o lowerdir=one:empty,userxattr overlay two`

func notes(res *sandbox.Result) string { return strings.Join(res.Notes, "\n") }

// TestRootWithoutOverlay: where the kernel refuses an overlay a small root is a
// copy, in which everything works that must work in a writable root; a large one
// is bound read-only, unless that lends the job something. The result says so.
func TestRootWithoutOverlay(t *testing.T) {
	dir, inside := withMounts(t, twoOverlays, func(dir string) {
		over := filepath.Join(dir, "over") // itself in no overlay
		dir = filepath.Join(dir, "lower")
		smallRoot(t, filepath.Join(dir, "root"))
		require.NoError(t, os.MkdirAll(filepath.Join(over, "opt/pkg"), 0o755))
		require.NoError(t, os.MkdirAll(filepath.Join(over, "opt/opaque"), 0o755))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "root/opt/opaque"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "root/opt/opaque/hidden"), nil, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(over, "opt/pkg/z"), []byte("over\n"), 0o644))
		require.NoError(t, os.MkdirAll(filepath.Join(over, "etc"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(over, "etc/hostname"), []byte("a layer's\n"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(over, "etc/own"), []byte("own\n"), 0o644))
		require.NoError(t, unix.Setxattr(filepath.Join(over, "opt/opaque"), "user.overlay.opaque", []byte("y"), 0))
		require.NoError(t, unix.Mknod(filepath.Join(over, "opt/pkg/a"), unix.S_IFCHR, 0))
		for _, d := range []string{"large", "lends"} {
			smallRoot(t, filepath.Join(dir, d))
			require.NoError(t, os.WriteFile(filepath.Join(dir, d, "usr/large"), nil, 0o644))
			require.NoError(t, os.Truncate(filepath.Join(dir, d, "usr/large"), 1<<30))
		}
		require.NoError(t, unix.Mkfifo(filepath.Join(dir, "lends/opt/fifo"), 0o644))
	})
	if !inside {
		return
	}
	sandbox.WithoutFuse(t) // see TestServedRoot
	base, over := filepath.Join(dir, "two"), filepath.Join(dir, "over")
	root := filepath.Join(base, "root")
	in := func(root string, more func(*sandbox.Cmd)) func(*sandbox.Cmd) {
		return func(c *sandbox.Cmd) {
			c.Rootfs = root
			if more != nil {
				more(c)
			}
		}
	}

	res, out, errs := shell(t, overlayFacts, in(root, nil))
	assert.Equal(t, 0, *res.ExitCode)
	assert.Empty(t, out+errs)
	assert.Contains(t, notes(res), "the root is a copy in memory")
	reason := "before Linux 6.6" // where nobody even tries
	if lane.Has("tmpfs-upper").Yes {
		reason = "overlay is refused (invalid argument)"
	}
	assert.Contains(t, notes(res), reason)
	assert.FileExists(t, filepath.Join(root, "opt/pkg/sub/b"), "the layer is as it was")

	res, out, errs = shell(t, "ls /opt/pkg /opt/opaque; cat /etc/own /etc/hostname", in(root, func(c *sandbox.Cmd) { c.Layers = []string{over} }))
	require.Equal(t, 0, *res.ExitCode, errs)
	assert.Equal(t, "/opt/opaque:\n\n/opt/pkg:\nsub\nz\nown\njail\n", out)

	file := filepath.Join(t.TempDir(), "diff")
	res, _, errs = shell(t, "rm /opt/pkg/a; echo x > /opt/new", in(root, func(c *sandbox.Cmd) { c.Diff = file }))
	require.Equal(t, 0, *res.ExitCode, errs)
	diff, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, 2, strings.Count(string(diff), "\n"), string(diff))
	assert.Contains(t, string(diff), `{"path":"/opt/pkg/a","change":"deleted"`)

	res, out, errs = shell(t, "cat /opt/pkg/a; touch /tmp/x /etc/x && touch /opt/x", in(filepath.Join(base, "large"), nil))
	assert.Equal(t, 1, *res.ExitCode)
	assert.Equal(t, "lower\n", out)
	assert.Contains(t, errs, "/opt/x")
	assert.Contains(t, errs, "Read-only file system")
	assert.Contains(t, notes(res), "read-only binds and a copy in memory")

	for _, tt := range []struct {
		change func(*sandbox.Cmd)
		err    string
	}{
		{in(filepath.Join(base, "lends"), nil), "a bind of /opt would lend the job"},
		{in(filepath.Join(base, "large"), func(c *sandbox.Cmd) { c.Layers = []string{over} }), "to copy it takes more than 64 MiB"},
		{in(root, func(c *sandbox.Cmd) { c.Require = []string{sandbox.RequireOverlay} }), "can be none: " + reason},
		{in(root, func(c *sandbox.Cmd) { c.ExportLayer = filepath.Join(t.TempDir(), "layer.tar") }), "mount overlay"},
	} {
		c := sandbox.Command("true")
		c.CWD = sandbox.CWDNone
		tt.change(c)
		_, err := c.Run(t.Context())
		require.ErrorContains(t, err, tt.err)
	}
}

// TestCurrentDirectoryWithoutOverlay: what is seen of it is a copy, and as with
// an overlay nothing of what is written reaches it.
func TestCurrentDirectoryWithoutOverlay(t *testing.T) {
	dir, inside := withMounts(t, twoOverlays, func(dir string) {
		dir = filepath.Join(dir, "lower")
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a/f"), []byte("old\n"), 0o640))
		require.NoError(t, os.Symlink("f", filepath.Join(dir, "a/l")))
		require.NoError(t, unix.Mkfifo(filepath.Join(dir, "a/fifo"), 0o644))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "many"), 0o755))
		for i := range 8200 {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "many", strconv.Itoa(i)), nil, 0o644))
		}
	})
	if !inside {
		return
	}
	dir = filepath.Join(dir, "two")
	use := func(mode sandbox.CWD) func(*sandbox.Cmd) {
		return func(c *sandbox.Cmd) { c.Dir, c.CWD = filepath.Join(dir, "a"), mode }
	}
	for _, mode := range []sandbox.CWD{sandbox.CWDAuto, sandbox.CWDCopy} {
		res, out, errs := shell(t, "ls; stat -c %a f; cat l; echo new > f && rmdir b && cat l", use(mode))
		require.Equal(t, 0, *res.ExitCode, errs)
		assert.Equal(t, "b\nf\nl\n640\nold\nnew\n", out, "a FIFO of the host's is not there")
		assert.Contains(t, notes(res), "the current directory is a copy in memory")
		assert.FileExists(t, filepath.Join(dir, "a/f"))
		assert.DirExists(t, filepath.Join(dir, "a/b"))
	}
	res, _, errs := shell(t, "ls | wc -l; touch x", func(c *sandbox.Cmd) { c.Dir, c.CWD = filepath.Join(dir, "many"), sandbox.CWDAuto })
	assert.Equal(t, 1, *res.ExitCode)
	assert.Contains(t, errs, "Read-only file system")
	assert.Contains(t, notes(res), "the current directory is read-only")

	c := sandbox.Command("true")
	use(sandbox.CWDAuto)(c)
	c.Require = []string{sandbox.RequireOverlay}
	_, err := c.Run(t.Context())
	require.ErrorContains(t, err, "cannot be cow")
}
