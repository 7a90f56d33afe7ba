package vm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What runs in place of the virtual machine, with all the rights that it has, cannot write to the host outside of its
// own directory. As an ordinary user that takes Landlock, which this host may not have.
func TestConfine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("as an ordinary user it depends on Landlock; lane qemu tests that")
	}
	cache, err := openCache(func(string) {})
	require.NoError(t, err)
	vminit, err := cache.buildInit(t.Context())
	require.NoError(t, err)
	base := t.TempDir()
	dir, file := filepath.Join(base, "own"), filepath.Join(base, "file")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "mem"), 0o700))
	require.NoError(t, os.WriteFile(file, []byte("host\n"), 0o600))
	const script = `echo in > "$1/own/file"; mount -o remount,rw /; mount -o remount,rw,bind /; umount -l "$1/own"
		echo machine > "$2"; touch "$2.new"; mknod "$2.dev" c 1 3; setsid sh -c 'sleep 1000' "$1" 3>&- & exit 7`
	p, err := startProcess(dir, vminit, []string{"sh", "-c", script, "sh", base, file})
	require.NoError(t, err)
	_, err = p.channel.Read(make([]byte, 1)) // until everyone has closed it
	assert.Error(t, err)
	require.NoError(t, p.end())
	assert.Equal(t, 7, p.cmd.ProcessState.ExitCode())

	assert.Empty(t, processesOf(t, base))

	in, err := os.ReadFile(filepath.Join(dir, "file"))
	require.NoError(t, err, "the control: its own directory is writable")
	assert.Equal(t, "in\n", string(in))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "host\n", string(b))
	assert.NoFileExists(t, file+".new")
	assert.NoFileExists(t, file+".dev")
	console, err := os.ReadFile(filepath.Join(dir, "console.log"))
	require.NoError(t, err)
	assert.Contains(t, string(console), "Read-only file system")
}
