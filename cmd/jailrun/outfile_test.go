package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
)

func TestOutFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))

	o, err := openOut(path, false)
	require.NoError(t, err)
	require.NoFileExists(t, path, "an old file is gone at once")
	require.NoError(t, o.create())
	_, err = o.f.WriteString("new")
	require.NoError(t, err)
	require.NoFileExists(t, path, "it appears whole")
	require.NoError(t, o.commit())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(content))
	assert.Len(t, names(t, dir), 1)

	o, err = openOut(path, false)
	require.NoError(t, err)
	require.NoError(t, o.create())
	o.discard()
	assert.Empty(t, names(t, dir))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return all
}

func TestOutFileTakesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	require.NoError(t, os.WriteFile(target, []byte("kept"), 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(target, link))
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	for _, path := range []string{link, fifo, dir, "/dev/null", ".", "..", dir + "/", "", dir + "/."} {
		_, err := openOut(path, false)
		require.Error(t, err, path)
	}
	assert.Len(t, names(t, dir), 3)

	// A device may be the stdout of a job; it is neither removed nor renamed.
	o, err := openOut("/dev/null", true)
	require.NoError(t, err)
	require.NoError(t, o.create())
	_, err = o.f.WriteString("x")
	require.NoError(t, err)
	require.NoError(t, o.commit())
	_, err = openOut(link, true)
	require.ErrorContains(t, err, "is a symbolic link")
}

// A job that may write to the directory must not lead us elsewhere.
func TestOutFileIsNotLed(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	victim := filepath.Join(elsewhere, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("kept"), 0o600))

	// A link under the name of the file that is being written.
	o, err := openOut(filepath.Join(dir, "out"), false)
	require.NoError(t, err)
	require.NoError(t, o.create())
	temp := filepath.Join(dir, o.temp)
	require.NoError(t, os.Remove(temp))
	require.NoError(t, os.Symlink(victim, temp))
	require.ErrorContains(t, o.commit(), "was replaced while it was written")
	assert.Empty(t, names(t, dir))

	// A link under the final name is replaced, not followed.
	o, err = openOut(filepath.Join(dir, "out"), false)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(victim, filepath.Join(dir, "out")))
	require.NoError(t, o.create())
	require.NoError(t, o.commit())
	st, err := os.Lstat(filepath.Join(dir, "out"))
	require.NoError(t, err)
	assert.True(t, st.Mode().IsRegular())

	// Nor does a directory there keep the file away.
	for _, inside := range []string{"", "full"} {
		path := filepath.Join(dir, "out"+inside)
		o, err = openOut(path, false)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(path, inside), 0o700))
		require.NoError(t, o.create())
		require.NoError(t, o.commit())
		st, err = os.Lstat(path)
		require.NoError(t, err)
		assert.True(t, st.Mode().IsRegular())
	}
	assert.Len(t, names(t, dir), 3, "the full directory is out of the way")

	// Another directory in place of ours: the file goes where it was meant to.
	sub := filepath.Join(dir, "sub")
	require.NoError(t, os.Mkdir(sub, 0o700))
	o, err = openOut(filepath.Join(sub, "out"), false)
	require.NoError(t, err)
	require.NoError(t, os.Rename(sub, filepath.Join(dir, "moved")))
	require.NoError(t, os.Symlink(elsewhere, sub))
	require.NoError(t, o.create())
	require.NoError(t, o.commit())
	assert.FileExists(t, filepath.Join(dir, "moved", "out"))
	assert.Equal(t, []string{"victim"}, names(t, elsewhere))
	content, err := os.ReadFile(victim)
	require.NoError(t, err)
	assert.Equal(t, "kept", string(content))
}

func TestOutFileLeavesNoDescriptor(t *testing.T) {
	dir := t.TempDir()
	count := func() int { return len(names(t, "/proc/self/fd")) }
	before := count()
	for i := range 4 {
		o, err := openOut(filepath.Join(dir, "out"), true)
		require.NoError(t, err)
		if i > 0 {
			require.NoError(t, o.create())
		}
		if i > 1 {
			require.NoError(t, o.commit())
			continue
		}
		o.discard()
	}
	o, err := openOut("/dev/null", true)
	require.NoError(t, err)
	require.NoError(t, o.create())
	require.NoError(t, o.commit())
	assert.Equal(t, before, count())
}

func TestEncodeResult(t *testing.T) {
	code := 3
	text, err := encodeResult(&sandbox.Result{
		Version: 1, ID: "x", StartedAt: time.Unix(0, 0).UTC(), Argv: []string{"a\xffb", "<&>", "\x1b]0;\x07", "\u2028"},
		Verdict: sandbox.Exited, ExitCode: &code, Limits: []sandbox.Enforced{}, Wall: time.Second,
	})
	require.NoError(t, err)
	assert.Equal(t, `{"version":1,"id":"x","jailrun":"","kernel":"","started_at":"1970-01-01T00:00:00Z",`+
		`"argv":["a\ufffdb","<&>","\u001b]0;\u0007","\u2028"],"verdict":"exited","exit_code":3,"wall_ns":1000000000,"setup_ns":0,"limits":[]}`+"\n", text)
}

func FuzzEncodeResult(f *testing.F) {
	f.Add("a", "\xff\xfe\x00\"\\", "</script>")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		text, err := encodeResult(&sandbox.Result{Argv: []string{a, b}, Cause: c, Notes: []string{a}, Limits: []sandbox.Enforced{{Asked: b}}})
		require.NoError(t, err)
		require.True(t, json.Valid([]byte(text)))
		require.True(t, utf8.ValidString(text))
		require.Equal(t, 1, strings.Count(text, "\n"), "one line")
		var back sandbox.Result
		require.NoError(t, json.Unmarshal([]byte(text), &back))
		if utf8.ValidString(a) && utf8.ValidString(b) {
			assert.Equal(t, []string{a, b}, back.Argv)
		}
	})
}
