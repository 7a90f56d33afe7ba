package attacks

import (
	"context"
	"io"
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

// TestLocks is A44: a lock that one job holds on a file of the directory given
// to both is none for the other.
func TestLocks(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	dir := here.Dir(t)
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)) //nolint:gosec // auto's job is another user
	const flock = "/usr/bin/flock"
	if _, err := os.Stat(flock); err != nil {
		t.Skip("flock is not installed")
	}
	// hold starts a command that holds the lock until its input ends.
	hold := func(t *testing.T, cmd *exec.Cmd) {
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		here.Ran(cmd.Process.Pid)
		t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
		held := make([]byte, 5)
		_, err = io.ReadFull(out, held)
		require.NoError(t, err)
	}
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		job := []string{"-C", dir, "--cwd", "ro", "--wall", "60", "--", flock}
		// Not in the test's context, whose end would kill the runner, and leave its group to the next jailrun gc.
		hold(t, here.Jailrun(context.WithoutCancel(t.Context()), id, append(job, "file", "-c", "echo held; read x")...))
		run := here.Do(t, here.Jailrun(t.Context(), id, append(job, "-n", "file", "/bin/true")...))
		assert.Equal(t, 0, run.Code, run.Stderr)
	})
	t.Run("control", func(t *testing.T) {
		outside := func(args ...string) *exec.Cmd {
			cmd := exec.Command(flock, args...)
			here.As(cmd, hostdiff.Self)
			cmd.Dir = dir
			return cmd
		}
		hold(t, outside("file", "-c", "echo held; read x"))
		assert.Error(t, outside("-n", "file", "/bin/true").Run(), "outside the lock is one")
	})
}

// endless is an input without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestStdinUnread is A66: a job that reads none of its endless input, closes it
// or writes to it ends as ever.
func TestStdinUnread(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		for _, script := range []string{"exit 3", "exec 0<&-; exit 3", "echo x >&0; exit 3", "head -c 100000 >/dev/null; exit 3"} {
			cmd := here.Jailrun(t.Context(), id, "--cwd", "none", "--wall", "60", "--", "/bin/sh", "-c", script)
			cmd.Stdin = endless{}
			run := here.Do(t, cmd)
			assert.Equal(t, 3, run.Code, "%s: %s", script, run.Stderr)
		}
	})
}

// TestCompiler is A89: what a compiler includes is what its job may read.
func TestCompiler(t *testing.T) {
	needs(t)
	if _, err := os.Stat("/usr/bin/gcc"); err != nil {
		t.Skip("gcc is not installed")
	}
	here := hostdiff.Here
	dir := here.Dir(t)
	require.NoError(t, os.Chmod(dir, 0o755))
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		for name, want := range map[string]struct {
			source string
			code   int
		}{
			"control": {"#include <stdio.h>\n#include \"given.h\"\nint x = GIVEN;\n", 0},
			"shadow":  {"#include \"/etc/shadow\"\n", 1},
			"init":    {"#include \"/proc/1/environ\"\n", 1},
			"incbin":  {"__asm__(\".incbin \\\"/etc/shadow\\\"\");\n", 1},
			"home":    {"#include \"" + here.Home + "/secret.h\"\n", 1},
			"endless": {"#include __FILE__\n", 1},
		} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "given.h"), []byte("#define GIVEN 1\n"), 0o644)) //nolint:gosec // auto's job is another user
			require.NoError(t, os.WriteFile(filepath.Join(dir, "a.c"), []byte(want.source), 0o644))             //nolint:gosec // as above
			run := here.Do(t, here.Jailrun(t.Context(), id, "-C", dir, "--cwd", "ro", "--wall", "60", "--mem", "256m", "--output", "1m", "--",
				"/usr/bin/gcc", "-c", "-o", "/tmp/a.o", "a.c"))
			assert.Equal(t, want.code, run.Code, "%s: %s", name, run.Stderr)
		}
	})
}
