package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

func asked(t *testing.T, flags ...string) (*request, error) {
	t.Helper()
	w, err := split(append(append([]string{"run"}, flags...), "--", "prog", "arg"))
	require.NoError(t, err, "%q", flags)
	return newRequest(&w)
}

func TestRequest(t *testing.T) {
	for _, c := range []struct {
		flags string
		want  func(s *sandbox.Spec)
	}{
		{"", func(*sandbox.Spec) {}},
		{"--mem 100m", func(s *sandbox.Spec) { s.Limits.Memory = 100 * limits.MiB }},
		{"--mem 100m --mem 1g", func(s *sandbox.Spec) { s.Limits.Memory = limits.GiB }},
		{"--mem 100m --swap 0", func(s *sandbox.Spec) { s.Limits.Memory = 100 * limits.MiB }},
		{"--mem 64m --swap 1m", func(s *sandbox.Spec) { s.Limits.Memory, s.Limits.Swap = 64*limits.MiB, limits.MiB }},
		{"--cpu 20%", func(s *sandbox.Spec) { s.Limits.CPU = 200 }},
		{"--cpu 0.5", func(s *sandbox.Spec) { s.Limits.CPU = 500 }},
		{"--cpuset 0-1,3 --cpu-weight 10000", func(s *sandbox.Spec) { s.Limits.CPUs, s.Limits.Weight = "0-1,3", 10000 }},
		{"--pids 1", func(s *sandbox.Spec) { s.Limits.Pids = 1 }},
		{"--pids none", func(s *sandbox.Spec) { s.Limits.Pids = -1 }},
		{"--cpu-time 2 --wall 1.5s --grace 200ms", func(s *sandbox.Spec) {
			s.Limits.CPUTime, s.Limits.Wall, s.Limits.Grace = 2*time.Second, 1500*time.Millisecond, 200*time.Millisecond
			s.Limits.CancelGrace = 0
		}},
		{"--cpu-time 2 --time 3", func(s *sandbox.Spec) { s.Limits.CPUTime = 3 * time.Second }},
		{"--time 3 --cpu-time 2", func(s *sandbox.Spec) { s.Limits.CPUTime = 2 * time.Second }},
		{"--grace 0", func(s *sandbox.Spec) { s.Limits.CancelGrace = 0 }},
		{"--output 64k --on-output truncate", func(s *sandbox.Spec) { s.Limits.Output, s.Limits.TruncateOutput = 64*limits.KiB, true }},
		{"--output 64k --on-output truncate --on-output kill", func(s *sandbox.Spec) { s.Limits.Output = 64 * limits.KiB }},
		{"--disk 1g --inodes 1k", func(s *sandbox.Spec) { s.Limits.Disk, s.Limits.Inodes = limits.GiB, 1024 }},
		{"--nofile 20 --fsize 0 --stack 8m --as 1g --memlock 0 --core 1m", func(s *sandbox.Spec) {
			s.Limits.Rlimits = limits.RlimitSpec{
				NoFile: new(uint64(20)), FSize: new(limits.Size(0)), Stack: new(8 * limits.MiB),
				AS: new(limits.GiB), MemLock: new(limits.Size(0)), Core: new(limits.MiB),
			}
		}},
		{"--require cgroup", func(s *sandbox.Spec) { s.Limits.RequireCgroup = true }},
		{"--rootfs host --ro-root", func(s *sandbox.Spec) { s.Rootfs, s.ReadOnlyRoot = "host", true }},
		{"--rootfs ./r", func(s *sandbox.Spec) { s.Rootfs = "./r" }},
		{"--rootfs debian:12", func(s *sandbox.Spec) { s.Rootfs = "debian:12" }},
		{"--rootfs oci:d:t", func(s *sandbox.Spec) { s.Rootfs = "oci:d:t" }},
		{"--cwd rw --workdir /x", func(s *sandbox.Spec) { s.CWD, s.Workdir = sandbox.CWDWritable, "/x" }},
		{"--cwd cow", func(s *sandbox.Spec) { s.CWD = sandbox.CWDCopy }},
		{"--map auto:isolated --user 5:6 --hostname box", func(s *sandbox.Spec) { s.Map.Mode, s.User, s.Hostname = "auto:isolated", "5:6", "box" }},
		{"--net none --seccomp strict", func(s *sandbox.Spec) { s.Seccomp = "strict" }},
		{"--net host --unsafe net-host,bind-home --unsafe bind-sockets", func(s *sandbox.Spec) {
			s.Net, s.Unsafe = sandbox.NetHost, []string{"net-host", "bind-home", "bind-sockets"}
		}},
		{"--allow-missing landlock,x", func(s *sandbox.Spec) { s.AllowMissing = []string{"landlock", "x"} }},
		{"--runtime jvm", func(s *sandbox.Spec) { s.Runtime = "jvm" }},
		{"--io-read 1m --io-write 2m/s --io-weight 7", func(s *sandbox.Spec) {
			s.Limits.IORead, s.Limits.IOWrite, s.Limits.IOWeight = limits.MiB, 2*limits.MiB, 7
		}},
		{"--mem 64m --mem-high 32m", func(s *sandbox.Spec) { s.Limits.Memory, s.Limits.MemoryHigh = 64*limits.MiB, 32*limits.MiB }},
		{"--tmpfs /a --tmpfs /b:1m", func(s *sandbox.Spec) { s.Tmpfs = []sandbox.Tmpfs{{Target: "/a"}, {Target: "/b", Size: limits.MiB}} }},
		{"--file /a=x=y --file /b=@@z --file /c=", func(s *sandbox.Spec) {
			s.Files = []sandbox.File{{Target: "/a", Content: []byte("x=y")}, {Target: "/b", Content: []byte("@z")}, {Target: "/c", Content: []byte{}}}
		}},
		{"--env A=1 --env A=2", func(s *sandbox.Spec) { s.AddEnv = []string{"A=1", "A=2"} }},
		{"--env A=1 --clear-env", func(s *sandbox.Spec) { s.Env = []string{"A=1"} }},
		{"--clear-env", func(s *sandbox.Spec) { s.Env = []string{} }},
		{"--preset judge", judgeSpec},
		{"--preset judge --mem 64m", func(s *sandbox.Spec) {
			judgeSpec(s)
			s.Limits.Memory, s.Limits.Rlimits.Stack = 64*limits.MiB, new(64*limits.MiB)
		}},
		// What stands beside a preset wins, wherever it stands.
		{"--stack 8m --pids 5 --cwd none --preset judge --mem 64m --seccomp strict", func(s *sandbox.Spec) {
			judgeSpec(s)
			s.Limits.Memory, s.Limits.Rlimits.Stack, s.Limits.Pids = 64*limits.MiB, new(8*limits.MiB), 5
			s.CWD, s.Seccomp = sandbox.CWDNone, "strict"
		}},
	} {
		r, err := asked(t, strings.Fields(c.flags)...)
		require.NoError(t, err, c.flags)
		want := sandbox.Spec{Args: []string{"prog", "arg"}, Limits: sandbox.Limits{CancelGrace: 2 * time.Second}}
		c.want(&want)
		assert.Equal(t, want, r.spec, c.flags)
	}
}

func judgeSpec(s *sandbox.Spec) {
	s.Map.Mode, s.Seccomp, s.CWD = "auto", "judge", sandbox.CWDReadOnly
	s.Limits.Pids, s.Limits.Output, s.Limits.RequireCgroup = 64, 64*limits.MiB, true
}

func TestRequestRefuses(t *testing.T) {
	tooMany := strconv.Itoa(runtime.NumCPU() + 1)
	for _, c := range [][2]string{
		{"--mem 1m", "--mem: 1m is below 4 MiB"},
		{"--mem 0", "--mem: 0 bytes hold no program"},
		{"--cpu " + tooMany, "--cpu: " + tooMany + " CPUs, but "},
		{"--cpu 0", `--cpu: cpu share "0": nothing could run`},
		{"--cpuset a", `--cpuset: "a" is not a list of CPUs`},
		{"--cpu-weight 10001", `--cpu-weight: "10001" is not a number from 1 to 10000`},
		{"--pids 0", `--pids: "0" is not a number from 1 to 4194304, nor none`},
		{"--pids -1", `--pids: "-1" is not a number`},
		{"--wall 0", `--wall: "0" would end the job at once`},
		{"--wall -1s", "--wall: duration"},
		{"--output 0", `--output: "0" leaves nothing`},
		{"--disk 0", `--disk: "0" leaves nothing`},
		{"--inodes 4g", `--inodes: "4g" is more than 2g`},
		{"--on-output stop --output 1k", `--on-output: "stop" is not known; want kill, truncate`},
		{"--nofile x", `--nofile: "x" is not a number from 1`},
		{"--require cgroups", `--require: "cgroups" is not known; want cgroup, landlock, overlay; did you mean cgroup?`},
		{"--cwd copy", `--cwd: "copy" is not known; want cow, ro, rw, none`},
		{"--workdir x", `--workdir: "x" does not start with /`},
		{"--net bridge", `--net: "bridge" is not known; want none, slirp, slirp:rootlesskit, pasta, host`},
		{"--unsafe net-hots", `did you mean net-host?`},
		{"--unsafe nested-userns", `"nested-userns" is not supported by this version`},
		{"--preset judges", `--preset: "judges" is not known; want judge`},
		{"--repeat 0", `"0" is not a number from 1 to 1000000`},
		{"--repeat 2 -i", `--repeat cannot pass stdin on to more than one run`},
		{"--io-weight 0", `"0" is not a number from 1 to 10000`},
		{"--runtime cobol", `"cobol" is not known`},
		{"--rootfs oci:", `"oci:" names no image`},
		{"--rootfs docker:debian", `"docker:debian" is of an unknown kind`},
		{"--tmpfs a", `--tmpfs: "a" does not start with /`},
		{"--tmpfs /a:0", `--tmpfs: "0" leaves nothing`},
		{"--file a=b", `--file: "a=b": want DST=TEXT or DST=@FILE`},
		{"--file /a", `--file: "/a": want DST=TEXT`},
		{"--file /a=@/nonexistent", `--file: open /nonexistent: no such file`},
		{"--file /a=@/dev/zero", `more than 16 MiB; show a large file with --bind`},
		{"--env =x", `--env: "=x" has no name`},
		{"--env JAILRUN_TEST_UNSET", `--env: JAILRUN_TEST_UNSET is not set here`},
		{"--env-pass [", `--env-pass: "[" is not a pattern`},
		{"--env-file /nonexistent", `--env-file: open /nonexistent`},
		{"--hostname=", `--hostname: the value is empty`},
		{"--io-read 0", `"0" leaves nothing`},
		{"-t", `-t: a terminal for the job is not supported by this version`},
	} {
		_, err := asked(t, strings.Fields(c[0])...)
		require.ErrorContains(t, err, c[1], c[0])
		assert.NotContains(t, err.Error(), "\n", c[0])
	}
}

func TestStdinSlot(t *testing.T) {
	for flags, want := range map[string]string{
		"": "", "-n": noStdin, "-n -i": "", "-i -n": noStdin, "-n --stdin f": "f", "--stdin f -n": noStdin,
		"--stdin null": noStdin, "--stdin f --stdin ./null": "./null",
	} {
		r, err := asked(t, strings.Fields(flags)...)
		require.NoError(t, err)
		assert.Equal(t, want, r.stdin, flags)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("CLI_TEST_A", "one two")
	t.Setenv("CLI_TEST_B", "")
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte("# comment\n\n X=1 2 \r\nY=\"q\"\n\t# more\nCLI_TEST_A\n"), 0o600))
	r, err := asked(t, "--clear-env", "--env", "CLI_TEST_B", "--env-file", file, "--env-pass", "CLI_TEST_?", "--env", "Z=")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{
		"CLI_TEST_B=", " X=1 2 ", `Y="q"`, "CLI_TEST_A=one two", "CLI_TEST_A=one two", "CLI_TEST_B=", "Z=",
	}, r.spec.Env)
	assert.Equal(t, "Z=", r.spec.Env[len(r.spec.Env)-1], "in the order of the command line")

	require.NoError(t, os.WriteFile(file, []byte("A=1\nCLI_TEST_UNSET\n"), 0o600))
	_, err = asked(t, "--env-file", file)
	require.ErrorContains(t, err, "env:2: CLI_TEST_UNSET is not set here")
	require.NoError(t, os.WriteFile(file, []byte("A=1\x002\n"), 0o600))
	_, err = asked(t, "--env-file", file)
	require.ErrorContains(t, err, "env:1: holds a NUL byte")
}

// The table is what help, completion and the parser go by.
func TestFlagTable(t *testing.T) {
	seen := map[string]bool{}
	for i := range flagTable {
		f := &flagTable[i]
		assert.False(t, seen[f.name], "twice: %s", f.name)
		seen[f.name] = true
		if f.about == "" {
			assert.NotNil(t, findFlag(string(f.slot)), "the other spelling of %s", f.name)
		}
		if f.slot != once && f.slot != many {
			assert.NotNil(t, findFlag(string(f.slot)), "slot of %s", f.name)
		}
	}
	for _, f := range foreignFlags {
		assert.Nil(t, findFlag(f[0]), f[0])
		assert.NotNil(t, findFlag(f[1]), f[1])
	}
}
