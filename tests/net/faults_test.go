package net

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	requires "github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
)

// What cannot be is said before the job runs, with the flag, the value and the
// fix, and leaves nobody behind.
func TestRefusals(t *testing.T) {
	require(t)
	t.Parallel()
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	requires.NoError(t, err)
	defer busy.Close()
	taken := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		flags []string
		says  string
	}{
		{[]string{"--net", "slirp", "--net-allow", "10.0.0.1/8"}, "did you mean 10.0.0.0/8"},
		{[]string{"--net", "slirp", "--net-allow", "300.1.1.1"}, "it looks like an address and is none"},
		{[]string{"--net", "slirp", "--net-allow", "a b"}, "neither an address nor a host name"},
		{[]string{"--net", "slirp", "--net-allow", "::1"}, "no IPv6"},
		{[]string{"--net", "slirp", "--net-allow", "localhost"}, "--net-allow 10.0.2.2:PORT"},
		{[]string{"--net", "slirp", "--net-allow", "127.0.0.1:80"}, "is the job's own loopback"},
		{[]string{"--net", "pasta", "--net-allow", "10.0.2.2:80"}, "which pasta does not show"},
		{[]string{"--net", "slirp", "--net-allow", "x:99999"}, "no port from 1 to 65535"},
		{[]string{"--net", "slirp", "--publish", taken + ":80"}, "cannot be had: address already in use"},
		{[]string{"--net", "pasta", "--publish", "18090:80/udp"}, "--net slirp publishes any port"},
		{[]string{"--net", "pasta", "--publish", hostIP + ":18090:80"}, "--net slirp publishes any port"},
		{[]string{"--net", "slirp", "--publish", "80"}, "want [IP:]HOST:JOB"},
		{[]string{"--net", "pasta", "--publish", taken + ":80"}, "cannot be had: address already in use"},
		{[]string{"--net", "slirp", "--net-rate", "1"}, "did you mean 1k?"},
		{[]string{"--net", "slirp", "--user", "1000"}, "leave --user out"},
		{[]string{"--publish", "18090:80"}, "add --net slirp"},
		{[]string{"--net", "lan"}, "slirp"},
	} {
		t.Run(strings.Join(c.flags, " "), func(t *testing.T) {
			_, said, r := run(t, c.flags, "tcp="+serverTCP)
			assert.Contains(t, said, c.says)
			assert.Equal(t, "error", r.Verdict)
		})
	}
}

// drivers are all of them, with the helper of each.
var drivers = []struct{ name, helper string }{{"slirp", "slirp4netns"}, {"slirp:rootlesskit", "slirp4netns"}, {"pasta", "passt"}}

// started starts a job that waits, and returns its runner and the pids of its
// helpers, by name.
func started(t *testing.T, driver, file string, more ...string) (*exec.Cmd, map[string]int) {
	t.Helper()
	cmd := command(append([]string{"--net", driver, "--result", file}, more...), "tcp="+serverTCP, "wait=")
	stdin, err := cmd.StdinPipe()
	requires.NoError(t, err)
	t.Cleanup(func() { stdin.Close() })
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	requires.NoError(t, err)
	requires.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		requires.NoError(t, err, said.String())
	}
	requires.Equal(t, "tcp="+serverTCP+" ok\n", line)
	helpers := map[string]int{}
	descendants(cmd.Process.Pid, helpers)
	requires.Contains(t, helpers, "jailrun-net")
	return cmd, helpers
}

// descendants finds the processes below pid, by name.
func descendants(pid int, found map[string]int) {
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(b)) {
			child, _ := strconv.Atoi(field)
			name, _ := os.ReadFile("/proc/" + field + "/comm")
			comm, _, _ := strings.Cut(strings.TrimSpace(string(name)), ".") // passt.avx2
			found[comm] = child
			descendants(child, found)
		}
	}
}

// gone waits for the end of a process that is not ours.
func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	requires.NoError(t, err)
	defer unix.Close(fd)
	assert.True(t, lane.Ended(t, fd), "pid %d lives", pid)
}

// Whoever of us is killed, the others end.
func TestKilled(t *testing.T) {
	require(t)
	t.Parallel()
	for _, d := range drivers {
		t.Run(d.name+", runner", func(t *testing.T) {
			t.Parallel()
			cmd, helpers := started(t, d.name, filepath.Join(t.TempDir(), "r"))
			requires.Contains(t, helpers, d.helper)
			requires.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			for _, pid := range helpers {
				gone(t, pid)
			}
		})
		t.Run(d.name+", jailrun-net", func(t *testing.T) {
			t.Parallel()
			cmd, helpers := started(t, d.name, filepath.Join(t.TempDir(), "r"))
			requires.NoError(t, unix.Kill(helpers["jailrun-net"], unix.SIGKILL))
			gone(t, helpers[d.helper])
			requires.NoError(t, cmd.Process.Signal(unix.SIGTERM))
			_ = cmd.Wait()
		})
	}
}

// A network that ends before its job is a fact in the result.
func TestHelperDies(t *testing.T) {
	require(t)
	t.Parallel()
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "r")
			cmd, helpers := started(t, d.name, file)
			requires.NoError(t, unix.Kill(helpers[d.helper], unix.SIGKILL))
			gone(t, helpers[d.helper])
			requires.NoError(t, cmd.Process.Signal(unix.SIGTERM))
			_ = cmd.Wait()
			b, err := os.ReadFile(file)
			requires.NoError(t, err)
			assert.Regexp(t, `"ended":"(slirp4netns|pasta): (signal: killed|it ended)`, string(b))
			assert.Contains(t, string(b), "the job's network ended before the job: ")
		})
	}
}

// What a root has planted where the host has ip(8) or nsenter(1) never runs:
// the namespaces are configured before the root is there.
func TestPlantedProgram(t *testing.T) {
	require(t)
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"usr/sbin", "usr/bin", "sbin", "bin"} {
		requires.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		for _, name := range []string{"ip", "nsenter", "slirp4netns", "pasta"} {
			b, err := os.ReadFile(filepath.Join(bin, "probe"))
			requires.NoError(t, err)
			requires.NoError(t, os.WriteFile(filepath.Join(root, dir, name), b, 0o755))
		}
	}
	for _, driver := range []string{"slirp", "slirp:rootlesskit", "pasta"} {
		got, _ := job(t, []string{"--net", driver, "--rootfs", root}, "tcp="+serverTCP, "devices=")
		assert.Equal(t, "ok", got["tcp="+serverTCP], driver)
		assert.Equal(t, "lo,tap0", got["devices="])
	}
}

// Helpers are bounded: by their group, where there is one, and each by rlimits.
func TestHelperLimits(t *testing.T) {
	require(t)
	t.Parallel()
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "r")
			cmd, helpers := started(t, d.name, file)
			pid := strconv.Itoa(helpers[d.helper])
			b, err := os.ReadFile("/proc/" + pid + "/limits")
			requires.NoError(t, err)
			assert.Regexp(t, `Max data size +268435456 `, string(b))
			assert.Regexp(t, `Max core file size +0 `, string(b))
			assert.Regexp(t, `Max open files +\d+ +1024 `, string(b))
			groups, err := os.ReadFile("/proc/" + pid + "/cgroup")
			requires.NoError(t, err)
			_, group, _ := strings.Cut(string(groups), "0::")
			group, _, _ = strings.Cut(group, "\n")
			held := map[string]string{}
			for _, name := range []string{"memory.max", "cpu.max", "pids.max"} {
				b, _ := os.ReadFile("/sys/fs/cgroup" + group + "/" + name)
				held[name] = strings.TrimSpace(string(b))
			}
			siblings, err := os.ReadFile("/proc/" + strconv.Itoa(helpers["jailrun-net"]) + "/cgroup")
			requires.NoError(t, err)
			requires.NoError(t, cmd.Process.Signal(unix.SIGTERM))
			_ = cmd.Wait()
			var r result
			b, err = os.ReadFile(file)
			requires.NoError(t, err)
			requires.NoError(t, json.Unmarshal(b, &r))
			for _, l := range r.Limits {
				if l.Name != "network_helper" {
					continue
				}
				if r.Tier != "cgroup" {
					assert.Equal(t, "RLIMIT_DATA of each", l.Mechanism)
					return
				}
				assert.Equal(t, "cgroup memory.max, cpu.max, pids.max", l.Mechanism)
				assert.Equal(t, map[string]string{"memory.max": "268435456", "cpu.max": "100000 100000", "pids.max": "32"}, held)
				assert.Equal(t, string(groups), string(siblings))
				return
			}
			assert.Fail(t, "the ledger has no network_helper")
		})
	}
}

// A port that was published is free when its job is over: the next job has it.
func TestPublishAgain(t *testing.T) {
	require(t)
	t.Parallel()
	for i, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			port := strconv.Itoa(18100 + i)
			for range 3 {
				got, _ := job(t, []string{"--net", d.name, "--publish", port + ":80"}, "tcp="+serverTCP)
				requires.Equal(t, "ok", got["tcp="+serverTCP])
			}
		})
	}
}
