package sibling

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpenSibling(t *testing.T) {
	own := uint32(os.Getuid())
	dir := filepath.Join(t.TempDir(), "bin")
	program := filepath.Join(dir, "jailrun-x")
	reset := func() {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, os.WriteFile(program, []byte("x"), 0o755))
		require.NoError(t, os.Chmod(dir, 0o755))
		require.NoError(t, os.Chmod(program, 0o755))
	}

	reset() // the control: as it should be
	f, err := openSibling(dir, "jailrun-x", own)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = openSibling(dir, "jailrun-y", own)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = openSibling(dir+"/none", "jailrun-x", own)
	require.ErrorIs(t, err, fs.ErrNotExist)

	for _, c := range []struct {
		name    string
		spoil   func() error
		owner   uint32
		want    string
		hinting string
	}{
		{"group may write the file", func() error { return os.Chmod(program, 0o775) }, own, `jailrun-x" is not run: others may write it (mode 775)`, "chmod go-w " + program},
		{"others may write the file", func() error { return os.Chmod(program, 0o757) }, own, "(mode 757)", "chmod go-w"},
		{"group may write the directory", func() error { return os.Chmod(dir, 0o775) }, own, `bin" is not run: others may write it (mode 775)`, "chmod go-w " + dir},
		{"a sticky directory of all", func() error { return os.Chmod(dir, 0o1777|fs.ModeSticky) }, own, "others may write it", "chmod go-w"},
		{"another owner", func() error { return nil }, own + 1, "is not run: it belongs to uid", "it has to belong to root or to the owner of jailrun"},
		{"a link", func() error {
			require.NoError(t, os.Rename(program, program+"-real"))
			return os.Symlink(program+"-real", program)
		}, own, "is not run: it is no regular file", "as files, not as links"},
		{"a directory", func() error {
			require.NoError(t, os.Remove(program))
			return os.Mkdir(program, 0o755)
		}, own, "is not run: it is no regular file", "as files"},
	} {
		reset()
		require.NoError(t, c.spoil(), c.name)
		_, err := openSibling(dir, "jailrun-x", c.owner)
		var u *Error
		require.ErrorAs(t, err, &u, c.name)
		assert.Contains(t, u.text, c.want, c.name)
		assert.Contains(t, u.hint, c.hinting, c.name)
	}
}
