package sandbox_test

import (
	"fmt"
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

// smallRoot makes a root file system with a shell and perl out of the host's, in dir.
func smallRoot(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"bin", "usr/bin", "opt/pkg/sub", "opt/move"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for _, program := range []string{"sh", "perl", "rm", "mv", "mkdir", "ls", "cat", "ln", "touch", "stat"} {
		copyProgram(t, dir, program)
	}
	for _, name := range []string{"opt/pkg/a", "opt/pkg/sub/b", "opt/move/c"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("lower\n"), 0o644))
	}
}

// copyProgram copies a program of the host's and the libraries it is linked with.
func copyProgram(t *testing.T, root, program string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("the host has no %s for a root of its own: %v", program, err)
	}
	path, err = filepath.EvalSymlinks(path)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "usr/bin", program), text, 0o755))
	_ = os.Symlink("../usr/bin/"+program, filepath.Join(root, "bin", program))
	out, err := exec.Command("ldd", path).Output()
	require.NoError(t, err)
	for field := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(field, "/") {
			continue
		}
		to := filepath.Join(root, field)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		lib, err := os.ReadFile(field)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.WriteFile(to, lib, 0o755))
	}
}

// overlayFacts is a script of what an overlay must be able to do; each line that
// it prints is a failure. (HOSTS: an upper without user attributes mounts, and
// then fails at these.)
const overlayFacts = `
	export LC_ALL=C; rm -rf /opt/pkg || echo rm -rf
	mkdir /opt/pkg || echo mkdir in place
	ls /opt/pkg | while read x; do echo "shines through: $x"; done
	mv /opt/move /opt/moved || echo mv
	cat /opt/moved/c > /dev/null || echo moved content
	mkdir /opt/move || echo mkdir where it was
	ls /opt/move | while read x; do echo "shines through: $x"; done
	touch /opt/f && ln /opt/f /opt/g && ln /opt/moved/c /opt/h || echo hard links
	echo more >> /opt/h; cat /opt/moved/c | { read a; read b; test "$b" = more || echo hard links apart; }
	perl -e 'sysopen(F, "/opt", 020200002, 0600) or print "O_TMPFILE: $!\n"; syswrite(F, "x") == 1 or print "write\n"'
	perl -e 'rename "/opt/f", "/opt/moved/f" or print "rename: $!\n"; unlink "/opt/g" or print "unlink\n"'
`

// TestWritableRoots tries what an overlay must be able to do in every writable
// root that this kernel can have.
func TestWritableRoots(t *testing.T) {
	base := lane.Scratch(t)
	root := filepath.Join(base, "root")
	smallRoot(t, root)
	over := filepath.Join(base, "over")
	require.NoError(t, os.MkdirAll(filepath.Join(over, "opt/pkg"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(over, "opt/pkg/z"), []byte("over\n"), 0o644))
	for _, tt := range []struct {
		name string
		spec sandbox.Spec
		need []string
	}{
		{"tmpfs", sandbox.Spec{}, nil},
		{"tmpfs, layers", sandbox.Spec{Layers: []string{over}}, nil},
		{"tmpfs, auto", sandbox.Spec{Layers: []string{over}, Map: sandbox.Map{Mode: "auto"}, User: "0"}, []string{"subid"}},
		{"kept", sandbox.Spec{Layers: []string{over}, Upper: filepath.Join(base, "kept")}, nil},
		{"kept, auto", sandbox.Spec{Upper: filepath.Join(base, "kept-auto"), Map: sandbox.Map{Mode: "auto"}, User: "0"}, []string{"subid"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lane.Require(t, tt.need...)
			res, out, errs := shell(t, overlayFacts, func(c *sandbox.Cmd) {
				args := c.Args
				c.Spec = tt.spec
				c.Args, c.CWD, c.Rootfs = args, sandbox.CWDNone, root
			})
			assert.Equal(t, 0, *res.ExitCode)
			copied := strings.Contains(strings.Join(res.Notes, ";"), "the root is a copy in memory")
			assert.Equal(t, tt.spec.Upper == "" && !lane.Has("tmpfs-upper").Yes, copied, res.Notes)
			if kernelBefore(t, 6, 10) {
				// Overlay has no O_TMPFILE at all, and says so; programs then
				// make a name and remove it.
				out = strings.Replace(out, "O_TMPFILE: Operation not supported\nwrite\n", "", 1)
			}
			assert.Empty(t, out)
			assert.Empty(t, errs)
		})
	}
	assert.FileExists(t, filepath.Join(root, "opt/pkg/sub/b"), "the layers are as they were")
}

func kernelBefore(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	require.NoError(t, unix.Uname(&u))
	var a, b int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b)
	require.NoError(t, err)
	return a < major || a == major && b < minor
}

// TestReadOnlyWhereNoUpperWorks: before Linux 6.6 a root too large to be copied is
// read-only unless a directory is given for what is written, and the result says so.
func TestReadOnlyWhereNoUpperWorks(t *testing.T) {
	root := filepath.Join(lane.Scratch(t), "root")
	smallRoot(t, root)
	require.NoError(t, os.WriteFile(filepath.Join(root, "opt/large"), nil, 0o644))
	require.NoError(t, os.Truncate(filepath.Join(root, "opt/large"), 1<<30))
	res, _, errs := shell(t, "touch /opt/x; touch /tmp/x && touch $HOME/x", func(c *sandbox.Cmd) {
		c.Rootfs = root
	})
	require.Equal(t, 0, *res.ExitCode, errs)
	if strings.Contains(strings.Join(res.Notes, ";"), "the root is read-only") {
		assert.Contains(t, errs, "Read-only file system")
		return
	}
	lane.Require(t, "tmpfs-upper")
	assert.Empty(t, errs)
}

// TestUpperIsKept: what one run writes is there in the next one, and is a layer
// for a third. Init's own files are no part of it.
func TestUpperIsKept(t *testing.T) {
	base := lane.Scratch(t)
	root, kept := filepath.Join(base, "root"), filepath.Join(base, "kept")
	smallRoot(t, root)
	use := func(c *sandbox.Cmd) { c.Rootfs, c.Upper = root, kept }
	res, _, errs := shell(t, "rm -rf /opt/pkg; echo mine > /opt/mine", use)
	require.Equal(t, 0, *res.ExitCode, errs)
	var names []string
	upper := filepath.Join(kept, "upper")
	require.NoError(t, filepath.WalkDir(upper, func(path string, _ os.DirEntry, err error) error {
		names = append(names, strings.TrimPrefix(path, upper))
		return err
	}))
	assert.Equal(t, []string{"", "/opt", "/opt/mine", "/opt/pkg"}, names)
	_, out, _ := shell(t, "cat /opt/mine; ls /opt", use)
	assert.Equal(t, "mine\nmine\nmove\n", out)

	_, out, errs = shell(t, "cat /opt/mine; ls /opt; cat /etc/hostname", func(c *sandbox.Cmd) {
		c.Rootfs, c.Layers, c.ReadOnlyRoot = root, []string{upper}, true
	})
	assert.Equal(t, "mine\nmine\nmove\njail\n", out, errs)

	// One run at a time.
	lock, err := os.Open(kept)
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	c := sandbox.Command("true")
	c.CWD = sandbox.CWDNone
	use(c)
	_, err = c.Run(t.Context())
	require.ErrorContains(t, err, "is in use by another run")
}

// TestUsersOfLayers: the job sees the users of its root, the topmost layer's.
func TestUsersOfLayers(t *testing.T) {
	base := lane.Scratch(t)
	root, over := filepath.Join(base, "root"), filepath.Join(base, "over")
	smallRoot(t, root)
	for dir, user := range map[string]string{root: "low", over: "high"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\n"+user+":x:5:5:::\n"), 0o644))
	}
	require.NoError(t, os.Symlink("/etc/shadow", filepath.Join(over, "etc/group")))
	in := func(c *sandbox.Cmd) { c.Rootfs, c.ReadOnlyRoot = root, true }
	_, out, _ := shell(t, "cat /etc/passwd", in)
	assert.Equal(t, "root:x:0:0::/home/job:/bin/sh\nlow:x:5:5:::\nnobody:x:65534:65534:nobody:/:/bin/false\n", out)
	_, out, errs := shell(t, "cat /etc/passwd /etc/group", func(c *sandbox.Cmd) {
		in(c)
		c.Layers, c.User = []string{over}, "5"
	})
	assert.Equal(t, "high:x:5:5::/home/job:\nroot:x:0:0::/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"+
		"job:x:5:\nroot:x:0:\nnogroup:x:65534:\n", out, errs)
}

// TestExportLayer: a job's writes become a layer with whiteouts.
func TestExportLayer(t *testing.T) {
	base := lane.Scratch(t)
	root := filepath.Join(base, "root")
	smallRoot(t, root)
	file := filepath.Join(base, "layer.tar")
	res, _, errs := shell(t, "rm -rf /opt/pkg; mkdir /opt/pkg; echo n > /opt/pkg/n; rm /opt/move/c; ln -s x /opt/l; echo h > /opt/h; ln /opt/h /opt/i; touch /opt/.wh.evil", func(c *sandbox.Cmd) {
		c.Rootfs, c.Upper, c.ExportLayer = root, filepath.Join(base, "kept"), file
		c.Tmpfs = []sandbox.Tmpfs{{Target: "/scratch"}}
	})
	require.Equal(t, 0, *res.ExitCode, errs)
	assert.Equal(t, map[string]string{
		"opt/": "", "opt/pkg/": "", "opt/pkg/.wh..wh..opq": "", "opt/pkg/n": "n\n", "opt/move/": "", "opt/move/.wh.c": "",
		"opt/l": "x", "opt/h": "h\n", "opt/i": "opt/h",
	}, entries(t, file))
	assert.Equal(t, []string{`"\"opt/.wh.evil\": a layer cannot hold such a name"`}, quoted(res.Collected[0].Why))
}

func quoted(list []string) (q []string) {
	for _, s := range list {
		q = append(q, strconv.Quote(s))
	}
	return q
}

// TestOddNames: what separates overlay's options may stand in the names of layers.
func TestOddNames(t *testing.T) {
	base := lane.Scratch(t)
	var layers []string
	for _, name := range []string{"a:b", "a,b", `a\b`, `a\:b`, "a\nb", "a b=c", strings.Repeat("n", 255)} {
		dir := filepath.Join(base, "l", name)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "opt"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "opt", strconv.Itoa(len(layers))), nil, 0o644))
		layers = append(layers, dir)
	}
	root := filepath.Join(base, "ro:ot,\\")
	smallRoot(t, root)
	res, out, errs := shell(t, "ls /opt; touch /opt/x", func(c *sandbox.Cmd) {
		c.Rootfs, c.Layers, c.Upper = root, layers, filepath.Join(base, "up,p:er\\")
	})
	require.Equal(t, 0, *res.ExitCode, errs)
	assert.Equal(t, "0\n1\n2\n3\n4\n5\n6\nmove\npkg\n", out)
	assert.FileExists(t, filepath.Join(base, "up,p:er\\", "upper", "opt", "x"))
}

// TestManyLayers: the most that overlay takes, and one more is refused by name.
func TestManyLayers(t *testing.T) {
	base := lane.Scratch(t)
	root := filepath.Join(base, "root")
	smallRoot(t, root)
	var layers []string
	for i := range 499 {
		dir := filepath.Join(base, strconv.Itoa(i))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "opt"), 0o755))
		layers = append(layers, dir)
	}
	require.NoError(t, os.WriteFile(filepath.Join(base, "497/opt/top"), []byte("top\n"), 0o644))
	res, out, errs := shell(t, "cat /opt/top", func(c *sandbox.Cmd) {
		c.Rootfs, c.Layers, c.ReadOnlyRoot = root, layers[:498], true
	})
	require.Equal(t, 0, *res.ExitCode, errs)
	assert.Equal(t, "top\n", out)

	c := sandbox.Command("true")
	c.CWD, c.Rootfs, c.Layers = sandbox.CWDNone, root, layers
	_, err := c.Run(t.Context())
	require.ErrorContains(t, err, "is one too many")
}

// TestManyBinds: there is no bound on directories shown.
func TestManyBinds(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o644))
	res, out, errs := shell(t, "cat /b*/f | wc -c; cat /b149/f", func(c *sandbox.Cmd) {
		for i := range 150 {
			c.Binds = append(c.Binds, sandbox.Bind{Source: dir, Target: "/b" + strconv.Itoa(i), Sockets: i%2 == 0})
		}
	})
	require.Equal(t, 0, *res.ExitCode, errs)
	assert.Equal(t, "150\nx", out)
}

// TestRepeatedLayers: an overlay takes no directory twice (ELOOP); the lower one
// of two that are the same shows nothing.
func TestRepeatedLayers(t *testing.T) {
	base := lane.Scratch(t)
	root, over := filepath.Join(base, "root"), filepath.Join(base, "over")
	smallRoot(t, root)
	require.NoError(t, os.MkdirAll(filepath.Join(over, "opt/pkg"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(over, "opt/pkg/f"), []byte("over\n"), 0o644))
	res, out, errs := shell(t, "cat /opt/pkg/f", func(c *sandbox.Cmd) {
		c.Rootfs, c.Layers, c.Upper = root, []string{over, root, over}, filepath.Join(base, "kept")
	})
	require.Equal(t, 0, *res.ExitCode, errs)
	assert.Equal(t, "over\n", out)
	assert.Empty(t, res.Notes)
}
