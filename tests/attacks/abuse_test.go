package attacks

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/hostdiff"
	"github.com/jailrun/jailrun/tests/lane"
)

// An abuse is a program that uses up what there is, or lies about its end.
type abuse struct {
	row, name string
	flags     string // of jailrun, by spaces
	program   string // of package attack, with its arguments
	verdict   sandbox.Verdict
	code      int // exit code of jailrun
	check     func(t *testing.T, r hostdiff.Run)
}

func says(want string) func(*testing.T, hostdiff.Run) {
	return func(t *testing.T, r hostdiff.Run) {
		t.Helper()
		assert.Contains(t, r.Stdout, want)
	}
}

func abuses() []abuse {
	orphans, execs, spinning := "200", "200", "8"
	if few {
		orphans, execs, spinning = "10", "10", "4"
	}
	if everything {
		spinning = "255"
	}
	return []abuse{
		{"A08", "kill everyone", "", "kill-all", sandbox.Exited, 5, nil},
		{"A09", "subreaper with orphans", "--wall 60", "orphans " + orphans, sandbox.Exited, 0, says("left " + orphans + "\n")},
		// By CPU time: a bomb gets as far as it must, however busy the machine.
		{"A54", "fork bomb", "--cpu-time 3 --pids 40 --wall 60", "forks", sandbox.CPUTime, 124, says("EAGAIN")},
		{"A54", "thread bomb", "--wall 0.5 --pids 40", "threads", "", -2, nil}, // Go gives up when it gets no thread
		{"A55", "zombies", "--wall 60 --pids 30", "zombies", sandbox.Exited, 0, says("EAGAIN")},
		{"A56", "anonymous memory", "--mem 64m --wall 60", "memory anon", sandbox.MemoryLimit, 124, nil},
		{"A56", "shared memory", "--mem 64m --wall 60", "memory shared", sandbox.MemoryLimit, 124, nil},
		{"A56", "a tmpfs", "--mem 64m --wall 60", "memory tmpfs", "", -2, bounded},
		{"A102", "memory in memfds", "--mem 64m --wall 60", "memory memfd", "", -2, bounded},
		{"A102", "System V segments that nobody maps", "--mem 64m --wall 60", "memory shm", "", -2, bounded},
		{"A102", "files without a name", "--mem 64m --wall 60", "memory unlinked", "", -2, bounded},
		{"A58", "a child takes it all", "--mem 64m --wall 60", "partly", sandbox.MemoryLimit, 124, nil},
		{"A59", "full disk, then memory", "--mem 64m --disk 32m --wall 60", "memory tmpfs", "", -2, bounded},
		{"A61", "full disk", "--disk 16m --wall 60", "disk", sandbox.Exited, 0, diskHeld},
		{"A62", "full of inodes", "--inodes 1000 --wall 60", "inodes", sandbox.Exited, 0, says("ENOSPC")},
		{"A63", "a deep tree", "--wall 60", "deep 10000", sandbox.Exited, 0, says("true")},
		{"A64", "descriptors", "--wall 60", "descriptors", sandbox.Exited, 0, says("EMFILE")},
		{"A65", "flood", "--output 1m --wall 60", "flood", sandbox.OutputLimit, 124, floodHeld},
		{"A65", "flood that is cut", "--output 1m --on-output truncate --cpu-time 0.2 --wall 60", "flood", sandbox.CPUTime, 124, floodHeld},
		{"A70", "a stopped child of vfork", "--wall 0.3", "vfork", sandbox.WallTime, 124, nil},
		{"A71", "a crash", "", "crash", sandbox.Signaled, 139, nil},
		{"A75", "endless execve", "--wall 60", "execs " + execs, sandbox.Exited, 0, says("done")},
		{"A77", "CPU in orphans", "--cpu-time 0.3 --wall 60", "burn", sandbox.CPUTime, 124, nil},
		{"A80", "a result of its own", "", "spoof", sandbox.Exited, 7, nil},
		{"A103", "memory behind who spins", "--mem 64m --pids 300 --wall 100", "starve " + spinning, sandbox.MemoryLimit, 124, nil},
		{"A97", "random numbers", "--wall 60", "random", sandbox.Exited, 0, says("drained")},
	}
}

// bounded: killed for its memory, or refused more; never more than it may have.
func bounded(t *testing.T, r hostdiff.Run) {
	t.Helper()
	if r.Result.Verdict == sandbox.Exited {
		f := strings.Fields(r.Stdout)
		require.Greater(t, len(f), 2, r.Stdout)
		n, err := strconv.Atoi(f[2])
		require.NoError(t, err, r.Stdout)
		assert.LessOrEqual(t, n, 64)
		return
	}
	assert.Equal(t, sandbox.MemoryLimit, r.Result.Verdict, r.Result.Cause)
}

func diskHeld(t *testing.T, r hostdiff.Run) {
	t.Helper()
	text, errno, _ := strings.Cut(strings.TrimSpace(r.Stdout), " ")
	n, err := strconv.Atoi(text)
	require.NoError(t, err, r.Stdout)
	assert.LessOrEqual(t, n, 16<<20)
	assert.Greater(t, n, 8<<20, "the control: some of it could be used")
	assert.Equal(t, "ENOSPC", errno)
}

func floodHeld(t *testing.T, r hostdiff.Run) {
	t.Helper()
	require.NotNil(t, r.Result.Stdout)
	assert.Equal(t, 1<<20, len(r.Stdout)+len(r.Stderr)-own(r.Stderr), "passed on")
	assert.True(t, r.Result.Stdout.Truncated || r.Result.Stderr.Truncated)
}

// own counts the bytes that jailrun itself said.
func own(stderr string) int {
	if i := strings.Index(stderr, "jailrun: "); i >= 0 {
		return len(stderr) - i
	}
	return 0
}

// TestAbuse runs the programs that a limit has to end.
func TestAbuse(t *testing.T) {
	needs(t)
	for i, a := range abuses() {
		t.Run(a.row+" "+a.name, func(t *testing.T) {
			if strings.Contains(a.flags, "--pids") && !hostdiff.Here.Root() && !lane.Has("cgroup2").Yes {
				lane.Require(t, "nproc")
			}
			ids := hostdiff.Here.Identities(t)
			if !everything { // one after the other in turn
				ids = ids[i%len(ids):][:1]
			}
			for _, id := range ids {
				program := append([]string{"/attack", "abuse"}, strings.Fields(a.program)...)
				begin := time.Now()
				run := hostdiff.Here.Run(t, id, strings.Fields(a.flags), program...)
				t.Logf("%.2fs: %d %s", time.Since(begin).Seconds(), run.Code, strings.TrimSpace(run.Result.Cause))
				if a.verdict != "" {
					assert.Equal(t, a.verdict, run.Result.Verdict, run.Result.Cause)
				}
				if a.code != -2 {
					assert.Equal(t, a.code, run.Code, run.Stderr)
				}
				if a.check != nil {
					a.check(t, run)
				}
			}
		})
	}
}

// TestStrictKillsAll: a call that the strict profile kills for, in any thread,
// ends the whole job and is named.
func TestStrictKillsAll(t *testing.T) {
	needs(t)
	hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		run := hostdiff.Here.Run(t, id, []string{"--seccomp", "strict", "--wall", "60"}, "/attack", "abuse", "thread-dies")
		assert.Equal(t, sandbox.Syscall, run.Result.Verdict, run.Result.Cause)
		assert.Equal(t, 159, run.Code)
		run = hostdiff.Here.Run(t, id, []string{"--wall", "0.3"}, "/attack", "abuse", "thread-dies")
		assert.Equal(t, sandbox.WallTime, run.Result.Verdict, "the control: default answers")
		assert.Contains(t, run.Stdout, "alive")
	})
}

// TestKernelLog is A72: what is denied is not logged, and of crashes the kernel
// logs so many and no more.
func TestKernelLog(t *testing.T) {
	needs(t)
	log, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("the kernel's log is not for this user:", err)
	}
	defer log.Close()
	said := func(flags []string, program ...string) (denied, crashed int) {
		_, err := unix.Seek(int(log.Fd()), 0, io.SeekEnd)
		require.NoError(t, err)
		hostdiff.Here.Run(t, hostdiff.Self, flags, program...)
		record := make([]byte, 8192)
		for {
			n, err := unix.Read(int(log.Fd()), record)
			if err != nil && err != unix.EPIPE { // EPIPE: some are lost
				require.Equal(t, unix.EAGAIN, err)
				return denied, crashed
			}
			switch line := string(record[:max(n, 0)]); {
			case strings.Contains(line, "type=1326") && strings.Contains(line, `comm="attack"`):
				denied++
			case strings.Contains(line, "attack["):
				crashed++
			}
		}
	}
	told := 0
	for _, profile := range []string{"default", "judge"} {
		denied, crashed := said([]string{"--seccomp", profile, "--wall", "60"}, "/attack", "abuse", "segfaults", "200")
		assert.Zero(t, denied, "a denial is an errno")
		assert.Less(t, crashed, 200, "and crashes are told now and then")
		told += crashed
	}
	t.Logf("%d lines for 400 crashes; none is a void control: kernels tell of so many in five seconds, whoever crashes", told)
}

// TestFuzz makes random calls: nothing comes of it.
func TestFuzz(t *testing.T) {
	needs(t)
	milliseconds := "400"
	if everything {
		milliseconds = "60000"
	}
	for _, profile := range profiles() {
		hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
			run := hostdiff.Here.Run(t, id, []string{"--seccomp", profile, "--pids", "64", "--wall", "100", "--output", "64m", "--on-output", "truncate"},
				"/attack", "abuse", "fuzz", milliseconds)
			assert.Contains(t, []sandbox.Verdict{sandbox.Exited, sandbox.Signaled, sandbox.WallTime, sandbox.Syscall}, run.Result.Verdict, run.Result.Cause)
		})
	}
}
