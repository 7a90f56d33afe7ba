package vm

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	probes "github.com/jailrun/jailrun/tests/lane"
)

var lanesFlag = flag.String("lanes", UML, "lanes to test, separated by commas")

// TestMain is also the helper of TestNothingOutlivesTheCaller.
func TestMain(m *testing.M) {
	if os.Getenv("VM_TEST_HELPER") == "boot" {
		os.Exit(bootAndHang())
	}
	os.Exit(m.Run())
}

// eachLane runs f for every lane of the flag, and those named; a lane that this host cannot have is skipped by name.
func eachLane(t *testing.T, f func(t *testing.T, lane string), also ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots machines")
	}
	lanes := append(strings.Split(*lanesFlag, ","), also...)
	slices.Sort(lanes)
	for _, lane := range slices.Compact(lanes) {
		t.Run(lane, func(t *testing.T) { f(t, lane) })
	}
}

func boot(t *testing.T, cfg Config) *Machine {
	t.Helper()
	cfg.Log = func(line string) { t.Log(line) }
	m, err := Boot(t.Context(), cfg)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, m.Close()) })
	return m
}

// openTempDir is a temporary directory that every user may write to; t.TempDir alone lies in a private one.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Chmod(dir, 0o777))
	return dir
}

// run runs a shell script and returns its exit status and output.
func run(t *testing.T, m *Machine, script string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code, err := m.Run(t.Context(), Job{Argv: append([]string{"sh", "-c", script, "sh"}, args...), Stdout: &out, Stderr: &errOut})
	require.NoError(t, err)
	return code, out.String(), errOut.String()
}

func TestJobs(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		m := boot(t, Config{Lane: lane})
		t.Log("kernel", m.Kernel())

		code, out, errOut := run(t, m, `printf 'a\0\r\n\377'; printf 'b\n' >&2; exit 77`)
		assert.Equal(t, 77, code)
		assert.Equal(t, "a\x00\r\n\xff", out)
		assert.Equal(t, "b\n", errOut)

		code, _, _ = run(t, m, `kill -KILL $$`)
		assert.Equal(t, 137, code)

		code, err := m.Run(t.Context(), Job{Argv: []string{"/no/such/program"}})
		require.NoError(t, err)
		assert.Equal(t, 127, code)

		code, out, _ = run(t, m, `id -u; id -un; id -G; echo $HOME; pwd; stat -f -c %T .; touch x && echo $JAILRUN_LANE`)
		assert.Equal(t, 0, code)
		assert.Equal(t, "12345\ntester\n12345\n/home/tester\n/home/tester\next2/ext3\n"+lane+"\n", out)
	})
}

// A job cannot say that it has succeeded, nor end another's stream: what looks like frames is output.
func TestOutputForgesNothing(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		m := boot(t, Config{Lane: lane})
		frame := `x\0\0\0\012{"Code":0}`
		code, out, _ := run(t, m, `for d in /dev/ttyS* /dev/vport* /dev/console; do printf '`+frame+`' > $d; done 2>/dev/null; printf '`+frame+`'; exit 3`)
		assert.Equal(t, 3, code)
		assert.Equal(t, "x\x00\x00\x00\n{\"Code\":0}", out)
	})
}

func TestLargeOutputIsExact(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		m := boot(t, Config{Lane: lane})
		code, out, errOut := run(t, m, `head -c 3000000 /dev/urandom > f; sha256sum < f >&2; cat f`)
		require.Equal(t, 0, code)
		path := filepath.Join(t.TempDir(), "out")
		require.NoError(t, os.WriteFile(path, []byte(out), 0o600))
		sum, err := sha256File(path)
		require.NoError(t, err)
		assert.Equal(t, errOut, sum+"  -\n")
	})
}

// The host's files cannot be changed by a job, and a job can read them (the control).
func TestHostIsReadOnly(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		dir := openTempDir(t)
		path := filepath.Join(dir, "file")
		require.NoError(t, os.WriteFile(path, []byte("host\n"), 0o666))
		require.NoError(t, os.Chmod(path, 0o666))

		m := boot(t, Config{Lane: lane, ReadOnly: []string{dir}})
		code, out, errOut := run(t, m, `cat "$1"; echo guest > "$1"; touch "$1.new"; touch /usr/x; rm "$1"`, path)
		assert.NotZero(t, code)
		assert.Equal(t, "host\n", out)
		assert.Contains(t, errOut, "Read-only file system")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, "host\n", string(b))
		assert.NoFileExists(t, path+".new")
		assert.NoFileExists(t, "/usr/x")
	})
}

// Each job finds a fresh group, and nothing of the job before is left.
func TestJobsAreSeparate(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		m := boot(t, Config{Lane: lane})
		_, first, _ := run(t, m, `(sleep 1000 & setsid sleep 1000 &) ; cut -d: -f3 /proc/self/cgroup`)
		code, second, _ := run(t, m, `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -o '[s]leep 1000'; cut -d: -f3 /proc/self/cgroup`)
		assert.Equal(t, 0, code)
		if lane != Systemd {
			assert.Equal(t, first, second, "a process, or another group")
		}
		assert.NotContains(t, second, "sleep 1000")
	})
}

func TestDelegation(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		if lane == Systemd {
			t.Skip("there the user manager delegates; see TestUserManager")
		}
		m := boot(t, Config{Lane: lane})
		code, out, errOut := run(t, m, `set -e
			g=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); cd $g; cat cgroup.controllers
			mkdir runner run; echo $$ > runner/cgroup.procs
			for c in $(cat cgroup.controllers); do echo +$c > cgroup.subtree_control; done
			echo 20M > run/memory.max; echo 10 > run/pids.max; echo "10000 100000" > run/cpu.max
			cat run/memory.max run/pids.max run/cpu.max; grep cgroup2 /proc/self/mounts`)
		require.Equal(t, 0, code, errOut)
		for _, c := range []string{"memory", "pids", "cpu", "io"} {
			assert.Contains(t, strings.Fields(out), c)
		}
		assert.Contains(t, out, "20971520\n10\n10000 100000\n")
		assert.Contains(t, out, "nsdelegate")
	})
}

// A job that hangs, a kernel that does and a kernel that panics are reported in time, with the console.
func TestFailuresAreReported(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		check := func(t *testing.T, err error, op string) {
			t.Helper()
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, op, e.Op)
			assert.FileExists(t, e.Log)
			require.NoError(t, os.Remove(e.Log))
			lines := strings.Split(e.Console, "\n")
			assert.LessOrEqual(t, len(lines), 40)
		}
		t.Run("job", func(t *testing.T) {
			m := boot(t, Config{Lane: lane})
			_, err := m.Run(t.Context(), Job{Argv: []string{"sleep", "1000"}, Timeout: time.Second})
			check(t, err, "run")
			assert.ErrorContains(t, err, "did not end within 1s")
			assert.Empty(t, processesOf(t, m.dir))
		})
		t.Run("cancelled", func(t *testing.T) {
			m := boot(t, Config{Lane: lane})
			ctx, cancel := context.WithCancel(t.Context())
			_, err := m.Run(ctx, Job{Argv: []string{"sh", "-c", "echo up; sleep 1000"}, Stdout: writerFunc(func(p []byte) (int, error) {
				cancel()
				return len(p), nil
			})})
			check(t, err, "run")
			assert.ErrorIs(t, err, context.Canceled)
		})
		t.Run("hang", func(t *testing.T) {
			start := time.Now()
			_, err := Boot(t.Context(), Config{Lane: lane, BootTimeout: 100 * time.Millisecond})
			check(t, err, "boot")
			assert.Less(t, time.Since(start), 20*time.Second)
		})
		t.Run("panic", func(t *testing.T) {
			_, err := Boot(t.Context(), Config{Lane: lane, kernelArgs: []string{"rdinit=/missing", "root=/dev/missing"}})
			check(t, err, "boot")
			assert.ErrorContains(t, err, "Kernel panic")
		})
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// processesOf lists the processes that name dir in their command line, as every process of a machine does.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	return slices.DeleteFunc(files, func(f string) bool {
		b, _ := os.ReadFile(f)
		return !bytes.Contains(b, []byte(dir))
	})
}

// bootAndHang boots a machine, prints the pid of its outermost process and its directory, and waits for its death.
func bootAndHang() int {
	m, err := Boot(context.Background(), Config{Lane: os.Getenv("VM_TEST_LANE")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(m.proc.cmd.Process.Pid, m.dir)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// A caller that is killed takes its machine along.
func TestNothingOutlivesTheCaller(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		boot(t, Config{Lane: lane}) // skips, fetches
		self, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), "VM_TEST_HELPER=boot", "VM_TEST_LANE="+lane)
		cmd.Stderr = os.Stderr
		_, err = cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		var pid int
		var dir string
		_, err = fmt.Fscan(out, &pid, &dir)
		require.NoError(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		require.NotEmpty(t, processesOf(t, dir))
		pidfd, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		defer unix.Close(pidfd)

		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		assert.True(t, probes.Ended(t, pidfd), "the machine is still there")
		assert.Empty(t, processesOf(t, dir))
	})
}
