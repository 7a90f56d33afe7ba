package outfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))

	o, err := Open(path, false)
	require.NoError(t, err)
	require.NoFileExists(t, path, "an old file is gone at once")
	require.NoError(t, o.Create())
	_, err = o.F.WriteString("new")
	require.NoError(t, err)
	require.NoFileExists(t, path, "it appears whole")
	require.NoError(t, o.Commit())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(content))
	assert.Len(t, names(t, dir), 1)

	o, err = Open(path, false)
	require.NoError(t, err)
	require.NoError(t, o.Create())
	o.Discard()
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

func TestTakesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	require.NoError(t, os.WriteFile(target, []byte("kept"), 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(target, link))
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	for _, path := range []string{link, fifo, dir, "/dev/null", ".", "..", dir + "/", "", dir + "/."} {
		_, err := Open(path, false)
		require.Error(t, err, path)
	}
	assert.Len(t, names(t, dir), 3)

	// A device may be the stdout of a job; it is neither removed nor renamed.
	o, err := Open("/dev/null", true)
	require.NoError(t, err)
	require.NoError(t, o.Create())
	_, err = o.F.WriteString("x")
	require.NoError(t, err)
	require.NoError(t, o.Commit())
	_, err = Open(link, true)
	require.ErrorContains(t, err, "is a symbolic link")
}

// A job that may write to the directory must not lead us elsewhere.
func TestIsNotLed(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	victim := filepath.Join(elsewhere, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("kept"), 0o600))

	// A link under the name of the file that is being written.
	o, err := Open(filepath.Join(dir, "out"), false)
	require.NoError(t, err)
	require.NoError(t, o.Create())
	temp := filepath.Join(dir, o.temp)
	require.NoError(t, os.Remove(temp))
	require.NoError(t, os.Symlink(victim, temp))
	require.ErrorContains(t, o.Commit(), "was replaced while it was written")
	assert.Empty(t, names(t, dir))

	// A link under the final name is replaced, not followed.
	o, err = Open(filepath.Join(dir, "out"), false)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(victim, filepath.Join(dir, "out")))
	require.NoError(t, o.Create())
	require.NoError(t, o.Commit())
	st, err := os.Lstat(filepath.Join(dir, "out"))
	require.NoError(t, err)
	assert.True(t, st.Mode().IsRegular())

	// Nor does a directory there keep the file away.
	for _, inside := range []string{"", "full"} {
		path := filepath.Join(dir, "out"+inside)
		o, err = Open(path, false)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(path, inside), 0o700))
		require.NoError(t, o.Create())
		require.NoError(t, o.Commit())
		st, err = os.Lstat(path)
		require.NoError(t, err)
		assert.True(t, st.Mode().IsRegular())
	}
	assert.Len(t, names(t, dir), 3, "the full directory is out of the way")

	// Another directory in place of ours: the file goes where it was meant to.
	sub := filepath.Join(dir, "sub")
	require.NoError(t, os.Mkdir(sub, 0o700))
	o, err = Open(filepath.Join(sub, "out"), false)
	require.NoError(t, err)
	require.NoError(t, os.Rename(sub, filepath.Join(dir, "moved")))
	require.NoError(t, os.Symlink(elsewhere, sub))
	require.NoError(t, o.Create())
	require.NoError(t, o.Commit())
	assert.FileExists(t, filepath.Join(dir, "moved", "out"))
	assert.Equal(t, []string{"victim"}, names(t, elsewhere))
	content, err := os.ReadFile(victim)
	require.NoError(t, err)
	assert.Equal(t, "kept", string(content))
}

func TestLeavesNoDescriptor(t *testing.T) {
	dir := t.TempDir()
	count := func() int { return len(names(t, "/proc/self/fd")) }
	before := count()
	for i := range 4 {
		o, err := Open(filepath.Join(dir, "out"), true)
		require.NoError(t, err)
		if i > 0 {
			require.NoError(t, o.Create())
		}
		if i > 1 {
			require.NoError(t, o.Commit())
			continue
		}
		o.Discard()
	}
	o, err := Open("/dev/null", true)
	require.NoError(t, err)
	require.NoError(t, o.Create())
	require.NoError(t, o.Commit())
	assert.Equal(t, before, count())
}
