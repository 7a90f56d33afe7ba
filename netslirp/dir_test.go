package netslirp

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a killed process left is swept; what belongs to a living one, or is not
// ours by its name, stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	left := filepath.Join(base, dirPrefix+strconv.Itoa(gone.Process.Pid)+"-1")
	living := filepath.Join(base, dirPrefix+strconv.Itoa(os.Getpid())+"-1")
	other := filepath.Join(base, dirPrefix+"x-1")
	for _, dir := range []string{left, living, other} {
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "api"), nil, 0o600))
	}
	link := filepath.Join(base, dirPrefix+strconv.Itoa(gone.Process.Pid)+"-2")
	require.NoError(t, os.Symlink(living, link))
	sweep(base)
	assert.NoDirExists(t, left)
	assert.DirExists(t, living)
	assert.FileExists(t, filepath.Join(living, "api"))
	assert.DirExists(t, other)
	_, err := os.Lstat(link)
	assert.NoError(t, err)
}
