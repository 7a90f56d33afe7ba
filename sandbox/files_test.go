package sandbox_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// collect runs a script and returns what became of copying place out.
func collect(t *testing.T, script, place string, change func(*sandbox.Cmd)) (to string, c sandbox.Collected, err error) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "result")
	cmd := sandbox.Command("sh", "-c", script)
	cmd.CWD = sandbox.CWDNone
	cmd.CopyOut = []sandbox.CopyOut{{Source: place, Target: to}}
	if change != nil {
		change(cmd)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	res, err := cmd.Run(t.Context())
	if err != nil {
		require.ErrorContains(t, err, "copy-out", errs.String())
	}
	require.Len(t, res.Collected, 1)
	require.Equal(t, sandbox.Exited, res.Verdict, "the files are no matter of the verdict: "+errs.String())
	return to, res.Collected[0], err
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// TestCopyOut brings out what is unreadable to its own owner.
func TestCopyOut(t *testing.T) {
	const script = `mkdir -p out/closed/deep; echo a > out/a; echo b > out/closed/deep/b; echo c > out/c
		chmod 0 out/c out/closed/deep/b out/closed/deep out/closed`
	for _, mode := range []string{"self", "auto"} {
		t.Run(mode, func(t *testing.T) {
			if mode == "auto" {
				lane.Require(t, "subid")
			}
			to, c, err := collect(t, "umask 077; "+script, sandbox.Home+"/out", func(c *sandbox.Cmd) { c.Map.Mode = mode })
			require.NoError(t, err)
			assert.Equal(t, 3, c.Files)
			assert.Equal(t, int64(6), c.Bytes)
			assert.Equal(t, "a\n", read(t, to+"/a"))
			assert.Equal(t, "b\n", read(t, to+"/closed/deep/b"))
			assert.Equal(t, "c\n", read(t, to+"/c"))
		})
	}
}

// TestCopyOutIsNotLed is row A86: whatever lies in the place of a result, no file
// of the host's is read or written.
func TestCopyOutIsNotLed(t *testing.T) {
	const secret = "the host's own words"
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte(secret), 0o644))
	for _, plant := range []string{
		"ln -s " + victim + " /tmp/out",
		"ln -s ../../../../../../.." + victim + " /tmp/out",
		"ln -s /proc/1/root" + victim + " /tmp/out",
		"ln -s /proc/self/fd/3 /tmp/out",
		"ln -s " + filepath.Dir(victim) + " /tmp/out",
		"mkdir /tmp/d; ln -s / /tmp/d/e; ln -s d/e" + filepath.Dir(victim) + " /tmp/out",
		"mkfifo /tmp/out",
		"true",
		`perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("/tmp/out"))'`,
	} {
		to, c, err := collect(t, plant, "/tmp/out", nil)
		require.Error(t, err, plant)
		assert.NotEmpty(t, c.Error, plant)
		assert.NoFileExists(t, to)
	}
	// In a directory, they are left out.
	to, c, err := collect(t, "mkdir /tmp/out; ln -s "+victim+" /tmp/out/l; mkfifo /tmp/out/p; echo x > /tmp/out/f; chmod 755 /tmp/out/f; chmod 4755 /tmp/out/f", "/tmp/out", nil)
	require.NoError(t, err)
	assert.Equal(t, 2, c.Skipped)
	st, err := os.Stat(to + "/f")
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), st.Mode())
	assert.NoFileExists(t, to+"/l")
	assert.Equal(t, secret, read(t, victim))
}

// TestCopyOutAfterDeath: what goes on swapping names when the main process has
// ended is dead before anything is read.
func TestCopyOutAfterDeath(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("secret"), 0o644))
	for range 5 {
		to, c, err := collect(t, `mkdir /tmp/out; echo mine > /tmp/out/f; ln -s `+victim+` /tmp/l
			(setsid perl -e 'fork; $SIG{TERM}="IGNORE"; while (1) { rename "/tmp/out/f", "/tmp/g"; rename "/tmp/l", "/tmp/out/f"; rename "/tmp/out/f", "/tmp/l"; rename "/tmp/g", "/tmp/out/f" }' &)
			perl -e 'select undef, undef, undef, 0.05'`, "/tmp/out", nil)
		require.NoError(t, err)
		if c.Files == 1 {
			assert.Equal(t, "mine\n", read(t, to+"/f"))
		}
	}
}

// TestCopyOutBounds is row A87: a terabyte of holes and trees without end are
// bounded, and said.
func TestCopyOutBounds(t *testing.T) {
	_, c, err := collect(t, "mkdir /tmp/out; truncate -s 1T /tmp/out/hole", "/tmp/out", nil)
	require.ErrorContains(t, err, "too many bytes")
	assert.Contains(t, c.Error, "too many bytes")

	to, c, err := collect(t, "mkdir /tmp/out; truncate -s 300M /tmp/out/hole; echo x >> /tmp/out/hole", "/tmp/out",
		func(c *sandbox.Cmd) { c.Limits.Disk = 512 * limits.MiB })
	require.NoError(t, err)
	assert.Less(t, c.Bytes, int64(1<<20), "holes stay holes")
	st, err := os.Stat(to + "/hole")
	require.NoError(t, err)
	assert.Equal(t, int64(300<<20+2), st.Size())

	many := t.TempDir()
	for i := range 300 {
		require.NoError(t, os.WriteFile(filepath.Join(many, strconv.Itoa(i)), nil, 0o644))
	}
	_, _, err = collect(t, "true", ".", func(c *sandbox.Cmd) { c.Limits.Inodes, c.Dir, c.CWD = 200, many, sandbox.CWDWritable })
	require.ErrorContains(t, err, "too many files")

	_, c, err = collect(t, `perl -e 'mkdir "/tmp/out"; chdir "/tmp/out"; for (1..100000) { mkdir "d" or die $!; chdir "d" }'`, "/tmp/out", nil)
	require.NoError(t, err)
	assert.Equal(t, 1, c.Skipped)
}

func TestMissingResult(t *testing.T) {
	cmd := sandbox.Command("false")
	cmd.CWD = sandbox.CWDNone
	cmd.CopyOut = []sandbox.CopyOut{{Source: "/tmp/none", Target: filepath.Join(t.TempDir(), "x")}}
	res, err := cmd.Run(t.Context())
	require.NoError(t, err, "a job that failed owes nothing")
	assert.Equal(t, 1, *res.ExitCode)
	assert.Contains(t, res.Collected[0].Error, "no such file")
}

// TestOutputIsHeldFromTheStart: an old result is gone at once, and a job that
// may write beside it cannot lead the new one elsewhere (rows A86, A104).
func TestOutputIsHeldFromTheStart(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "to"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "to", "x"), []byte("old"), 0o644))
	cmd := sandbox.Command("sh", "-c", "test ! -e to/x || exit 9; echo new > /tmp/x; mv to moved; mkdir elsewhere; ln -s elsewhere to")
	cmd.Dir, cmd.CWD = dir, sandbox.CWDWritable
	cmd.CopyOut = []sandbox.CopyOut{{Source: "/tmp/x", Target: filepath.Join(dir, "to", "x")}}
	res, err := cmd.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 0, *res.ExitCode)
	assert.Equal(t, "new\n", read(t, filepath.Join(dir, "moved", "x")))
	assert.NoFileExists(t, filepath.Join(dir, "elsewhere", "x"))
}

func TestCopyIn(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "tree", "sub"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tree", "sub", "f"), []byte("deep\n"), 0o640))
	require.NoError(t, os.Symlink("sub/f", filepath.Join(dir, "tree", "l")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "one"), []byte("one\n"), 0o4755))
	for _, mode := range []string{"self", "auto"} {
		t.Run(mode, func(t *testing.T) {
			if mode == "auto" {
				lane.Require(t, "subid")
			}
			res, out, errs := shell(t, `cat /data/in/one /tmp/tree/l /etc/hostname; echo x > /tmp/tree/sub/f && echo x > /data/in/one && stat -c %u:%a /tmp/tree/sub /data/in/one`, func(c *sandbox.Cmd) {
				c.Map.Mode, c.Dir = mode, dir
				c.CopyIn = []sandbox.CopyIn{
					{Source: "one", Target: "/data/in/"},
					{Source: filepath.Join(dir, "tree"), Target: "/tmp/tree"},
					{Source: "one", Target: "/etc/hostname"},
				}
			})
			require.Equal(t, 0, *res.ExitCode, errs)
			uid := "0"
			if mode == "auto" {
				uid = "1000"
			}
			assert.Equal(t, "one\ndeep\none\n"+uid+":755\n"+uid+":755\n", out)
		})
	}
	assert.Equal(t, "deep\n", read(t, filepath.Join(dir, "tree", "sub", "f")), "a copy")
}

func TestCopyInRefuses(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "d", "fifo"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "big"), make([]byte, 3<<20), 0o644))
	for _, tt := range []struct {
		in   sandbox.CopyIn
		want string
	}{
		{sandbox.CopyIn{Source: filepath.Join(dir, "d"), Target: "/in"}, "is a FIFO, which cannot be copied"},
		{sandbox.CopyIn{Source: filepath.Join(dir, "big"), Target: "/in"}, "too many bytes"},
		{sandbox.CopyIn{Source: filepath.Join(dir, "none"), Target: "/in"}, "no such file"},
		{sandbox.CopyIn{Source: filepath.Join(dir, "big"), Target: "/work/in"}, "copy it there yourself"},
		{sandbox.CopyIn{Source: filepath.Join(dir, "big"), Target: "/dev/in"}, "must be absolute and not"},
	} {
		cmd := sandbox.Command("true")
		cmd.Dir, cmd.CWD = dir, sandbox.CWDWritable
		cmd.CopyIn = []sandbox.CopyIn{tt.in}
		cmd.Limits.Disk = 2 * limits.MiB
		_, err := cmd.Run(t.Context())
		require.ErrorContains(t, err, tt.want)
	}
}

// changes runs a script and returns its diff, "change type path" a line.
func changes(t *testing.T, script string, change func(*sandbox.Cmd)) (list []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "diff")
	res, _, errs := shell(t, script, func(c *sandbox.Cmd) {
		c.Diff = file
		if change != nil {
			change(c)
		}
	})
	require.Equal(t, 0, *res.ExitCode, errs)
	for line := range strings.Lines(read(t, file)) {
		var c sandbox.Change
		require.NoError(t, json.Unmarshal([]byte(line), &c))
		require.Empty(t, c.Error, line)
		list = append(list, c.Change+" "+c.Type+" "+c.Path)
	}
	return list
}

func TestDiff(t *testing.T) {
	assert.Empty(t, changes(t, "true", nil), "what jailrun has put there is no change")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "in"), []byte("x"), 0o644))
	assert.Equal(t, []string{
		"changed file /etc/hostname", "created file /home/job/f", "created directory /tmp/d", "created symlink /tmp/d/l", "deleted file /tmp/in",
	}, changes(t, "echo other > /etc/hostname; echo x > f; mkdir /tmp/d; ln -s x /tmp/d/l; rm /tmp/in; touch /tmp/gone; rm /tmp/gone", func(c *sandbox.Cmd) {
		c.CopyIn = []sandbox.CopyIn{{Source: filepath.Join(dir, "in"), Target: "/tmp/in"}}
	}))
}

func TestDiffOfCopiedDirectory(t *testing.T) {
	lane.Require(t, "tmpfs-upper")
	dir := t.TempDir()
	for _, name := range []string{"same", "changed", "gone", "d/a", "d/b", "e/x"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("1\n"), 0o644))
	}
	assert.Equal(t, []string{
		"changed file /work/changed", "deleted file /work/d/a", "changed file /work/d/b", "created file /work/d/c", "deleted directory /work/e", "deleted file /work/gone", "created file /work/new",
	}, changes(t, "true >> same; echo 2 > changed; rm gone; rm -r d; mkdir d; echo 2 > d/b; echo c > d/c; rm -r e; echo n > new", func(c *sandbox.Cmd) {
		c.Dir, c.CWD = dir, sandbox.CWDCopy
	}))
}

// entries lists a tar.
func entries(t *testing.T, name string) map[string]string {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	list := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		list[h.Name] = string(text) + h.Linkname
	}
}
