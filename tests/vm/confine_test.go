package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/tests/lane"
)

// confineDir makes a directory with the machine's own one, a file beside it that anyone may write, and vminit.
func confineDir(t *testing.T, uid int) (base, dir, vminit string) {
	t.Helper()
	cache, err := openCache(func(string) {})
	require.NoError(t, err)
	built, err := cache.buildInit(t.Context())
	require.NoError(t, err)
	base = openTempDir(t)
	dir, vminit = filepath.Join(base, "own"), filepath.Join(base, "vminit")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "mem"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(base, "file"), []byte("host\n"), 0o600))
	require.NoError(t, exec.Command("cp", built, vminit).Run())
	for _, path := range []string{base, dir, filepath.Join(base, "file")} {
		require.NoError(t, os.Chmod(path, 0o777))
		require.NoError(t, os.Chown(path, uid, -1))
	}
	return base, dir, vminit
}

// attack is what a machine that broke out of its kernel would try, with the rights that it has.
const attack = `echo in > "$1/own/file"; mount -o remount,rw /; mount -o remount,rw,bind /; umount -l "$1/own"
	echo machine > "$1/file"; touch "$1/file.new"; mknod "$1/file.dev" c 1 3; mkdir "$1/d"; rm -f "$1/file"
	setsid sh -c 'sleep 1000' "$1" 3>&- & exit 7`

func assertConfined(t *testing.T, base string) {
	t.Helper()
	assert.Empty(t, processesOf(t, base))
	in, err := os.ReadFile(filepath.Join(base, "own/file"))
	require.NoError(t, err, "the control: its own directory is writable")
	assert.Equal(t, "in\n", string(in))
	b, err := os.ReadFile(filepath.Join(base, "file"))
	require.NoError(t, err)
	assert.Equal(t, "host\n", string(b))
	for _, name := range []string{"file.new", "file.dev", "d"} {
		assert.NoFileExists(t, filepath.Join(base, name))
	}
}

// What runs in place of the virtual machine cannot write to the host outside of its own directory, and nothing of it
// outlives its first process.
func TestConfine(t *testing.T) {
	if os.Geteuid() != 0 {
		lane.Require(t, "landlock")
	}
	base, dir, vminit := confineDir(t, os.Geteuid())
	p, err := startProcess(dir, vminit, -1, []string{"sh", "-c", attack, "sh", base})
	require.NoError(t, err)
	_, err = p.channel.Read(make([]byte, 1)) // until everyone has closed it
	assert.Error(t, err)
	require.NoError(t, p.end())
	assert.Equal(t, 7, p.cmd.ProcessState.ExitCode())
	assertConfined(t, base)
}

// The same for an ordinary user, who has Landlock and no namespaces.
func TestConfineByLandlock(t *testing.T) {
	lane.Require(t, "landlock")
	if os.Geteuid() != 0 {
		t.Skip("TestConfine is that")
	}
	const uid = 65533
	base, dir, vminit := confineDir(t, uid)
	lifeline, keep, err := os.Pipe()
	require.NoError(t, err)
	defer keep.Close()
	cmd := exec.Command(vminit, "confine", "-dir", dir, "--", "sh", "-c", attack, "sh", base)
	cmd.ExtraFiles = []*os.File{lifeline}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	assert.Error(t, err)
	assert.Equal(t, 7, cmd.ProcessState.ExitCode(), "%s", out)
	assert.Contains(t, string(out), "Permission denied")
	assertConfined(t, base)
}
