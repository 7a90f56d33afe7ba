package attacks

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/hostdiff"
)

// TestIsolated is A10, A45, A49, A52 and A91: what listens, waits and runs
// outside, of the same user, is not reached from inside.
func TestIsolated(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	dir := here.Dir(t)
	path := filepath.Join(dir, "socket")
	var targets []string
	for _, at := range []struct{ network, address string }{{"unix", path}, {"unix", "@jailrun-attacks-" + filepath.Base(dir)}, {"tcp", "127.0.0.1:0"}} {
		l, err := net.Listen(at.network, at.address)
		require.NoError(t, err)
		defer l.Close()
		targets = append(targets, l.Addr().String())
	}
	require.NoError(t, os.Chmod(path, 0o777))
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		other := exec.Command(here.Attack(), "abuse", "inotify")
		here.As(other, id)
		hold, err := other.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, other.Start())

		run := here.Run(t, id, nil, append([]string{"/attack", "abuse", "connect"}, targets...)...)
		assert.Equal(t, 0, run.Code, run.Stderr)
		assert.Equal(t, len(targets), strings.Count(run.Stdout, "\n"), run.Stdout)
		assert.NotContains(t, run.Stdout, "worked")
		run = here.Run(t, id, nil, "/attack", "abuse", "see")
		assert.Equal(t, "2\n", run.Stdout, "init and itself")
		run = here.Run(t, id, nil, "/attack", "abuse", "kill-all")
		assert.Equal(t, 5, run.Code)
		assert.NoError(t, other.Process.Signal(unix.Signal(0)), "it lives")
		hold.Close()
		assert.NoError(t, other.Wait(), "and ends by itself")
	})
	out, err := here.Outside(t, hostdiff.Self, 0, append([]string{"abuse", "connect"}, targets...)...)
	require.NoError(t, err, out)
	assert.Equal(t, len(targets), strings.Count(out, "worked"), "the control: outside all are reached: %s", out)
}

// TestTellsNothing is A50 and A51: a job that says all it can see says nothing
// of the host's names, paths, variables and numbers.
func TestTellsNothing(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	host, err := os.Hostname()
	require.NoError(t, err)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	dir := here.Dir(t)
	require.NoError(t, os.Chmod(dir, 0o755)) // auto's job is another user
	const token = "token-of-the-caller"
	needles := []string{strings.TrimSpace(string(boot)), filepath.Base(dir), filepath.Base(here.Home), token, "jailrun-arena"}
	if host != "jail" && host != "localhost" {
		needles = append(needles, host)
	}
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		cmd := here.Jailrun(t.Context(), id, here.With([]string{"-C", dir, "--cwd", "ro"}, "/attack", "abuse", "dump")...)
		cmd.Env = append(cmd.Env, "CI_JOB_TOKEN="+token, "SSH_AUTH_SOCK=/"+token, "DBUS_SESSION_BUS_ADDRESS=unix:path=/"+token)
		run := here.Do(t, cmd)
		require.Equal(t, 0, run.Code, run.Stderr)
		require.Contains(t, run.Stdout, "== environment")
		for line := range strings.Lines(run.Stdout) {
			if strings.Contains(line, " /attack ") || strings.Contains(line, " /work ") {
				continue // mountinfo names the source of what was given to the job
			}
			for _, needle := range needles {
				assert.NotContains(t, line, needle)
			}
		}
	})
	control := exec.Command(here.Attack(), "abuse", "dump")
	here.As(control, hostdiff.Self)
	control.Env = append(control.Env, "CI_JOB_TOKEN="+token)
	out, err := control.CombinedOutput()
	require.NoError(t, err)
	for _, needle := range []string{strings.TrimSpace(string(boot)), token, "jailrun-arena"} {
		assert.Contains(t, string(out), needle, "the control: outside it is told")
	}
}
