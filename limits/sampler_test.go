package limits

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
)

// sampledJob is a job in a pid namespace of its own.
type sampledJob struct {
	sampler *Sampler
	input   io.WriteCloser
	reaped  chan time.Duration // what pid 1 has reaped, when all have ended
	kill    func() error       // ends the namespace
}

// startSampled starts a program or a helper below a pid 1 of its own.
func startSampled(t *testing.T, job ...string) *sampledJob {
	lane.Require(t, "unprivileged", "userns", "proc")
	cmd := helper(t, "init", job...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	return started(t, cmd)
}

func started(t *testing.T, cmd *exec.Cmd) *sampledJob {
	input, err := cmd.StdinPipe()
	require.NoError(t, err)
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	end := sync.OnceValue(func() error {
		err := cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	})
	t.Cleanup(func() { _ = end() })
	lines := bufio.NewReader(output)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)

	proc, err := os.Open("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/root/proc")
	require.NoError(t, err)
	sampler := NewSampler(proc)
	t.Cleanup(func() { sampler.Close(); proc.Close() })
	j := &sampledJob{sampler: sampler, input: input, reaped: make(chan time.Duration, 1), kill: end}
	first, err := sampler.Sample(SampleCPU | SampleMemory)
	require.NoError(t, err)
	require.Zero(t, first.Tasks, "pid 1 is not the job's")
	require.Zero(t, first.CPU)
	_, err = input.Write([]byte("x"))
	require.NoError(t, err)
	go func() {
		line, _ := lines.ReadString('\n')
		n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		j.reaped <- time.Duration(n)
	}()
	return j
}

// watch samples the job until all its processes have ended, and returns the
// last sample's CPU time and what pid 1 has reaped.
func (j *sampledJob) watch(t *testing.T, interval time.Duration) (sampled, reaped time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	timeout := time.After(time.Minute)
	for ended := false; ; {
		s, err := j.sampler.Sample(SampleCPU | SampleMemory)
		require.NoError(t, err)
		require.GreaterOrEqual(t, s.CPU, sampled, "it never falls")
		sampled = s.CPU
		if ended {
			assert.Zero(t, s.Tasks)
			assert.Empty(t, j.sampler.left)
			assert.Len(t, j.sampler.known, 1, "only pid 1 is still followed")
			return sampled, reaped
		}
		select {
		case reaped = <-j.reaped:
			ended = true // once more
		case <-ticker.C:
		case <-timeout:
			t.Fatal("the job does not end")
		}
	}
}

func TestSamplerCountsWhatPidOneReaps(t *testing.T) {
	for name, job := range map[string][]string{
		"a spinner":           {"/bin/sh", "-c", `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done`},
		"many short children": {"/bin/sh", "-c", `i=0; while [ $i -lt 150 ]; do (j=0; while [ $j -lt 200 ]; do j=$((j+1)); done); i=$((i+1)); done`},
		"a tree": {"/bin/sh", "-c", `burn() { i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; }
			for a in 1 2 3; do ( burn; (burn & burn; wait) & burn; wait ) & done; wait`},
		"daemons":              {"/bin/sh", "-c", `for a in 1 2 3; do (setsid sh -c 'i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done' & ) ; done`},
		"threads":              {"burn", "300", "2"},
		"a process that execs": {"/bin/sh", "-c", `i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; exec sh -c 'i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done'`},
	} {
		t.Run(name, func(t *testing.T) {
			sampled, reaped := startSampled(t, job...).watch(t, 10*time.Millisecond)
			require.Greater(t, reaped, 20*time.Millisecond, "the job has burnt something")
			// rusage is exact; pid 1's children's times are in ticks.
			assert.LessOrEqual(t, sampled, reaped+time.Millisecond)
			assert.GreaterOrEqual(t, sampled, reaped-2*tick)
		})
	}
}

// A101: RUSAGE_CHILDREN of pid 1 tells nothing of children of a parent that
// ignores SIGCHLD.
func TestSamplerCountsWhatNobodyReaps(t *testing.T) {
	const children = 6
	file := filepath.Join(t.TempDir(), "burnt")
	sampled, reaped := startSampled(t, "ignore", strconv.Itoa(children), "80", file).watch(t, 5*time.Millisecond)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	burnt, ended := time.Duration(0), 0
	for line := range strings.FieldsSeq(string(text)) {
		n, err := strconv.ParseInt(line, 10, 64)
		require.NoError(t, err)
		burnt, ended = burnt+time.Duration(n), ended+1
	}
	require.Equal(t, children, ended)
	// Each child goes unseen from the last sample to its end, and what it
	// burns after writing its number is not in the file.
	assert.GreaterOrEqual(t, sampled, reaped+burnt*6/10)
	assert.LessOrEqual(t, sampled, reaped+burnt+children*30*time.Millisecond)
	assert.Less(t, reaped, burnt, "control: rusage has lost them")
}

func TestSamplerMemory(t *testing.T) {
	j := startSampled(t, "hold", "40")
	var pss PSS
	for deadline := Now() + time.Minute; pss.Shmem < 40*MiB; {
		require.Less(t, Now(), deadline)
		var err error
		pss, err = j.sampler.PSS()
		require.NoError(t, err)
	}
	s, err := j.sampler.Sample(SampleMemory)
	require.NoError(t, err)
	require.Len(t, s.Processes, 1)
	assert.GreaterOrEqual(t, s.Processes[0].Shared, 40*MiB, "shared anonymous memory is shmem")
	assert.GreaterOrEqual(t, s.RSS, 40*MiB)
	assert.Less(t, s.RSS, 80*MiB)
	assert.Less(t, pss.Shmem, 41*MiB)
	assert.Equal(t, pss.Anon+pss.File+pss.Swap+pss.Shmem, pss.Total(10*MiB), "memory that is in no file of the job counts")
	assert.Equal(t, pss.Anon+pss.File+pss.Swap+GiB, pss.Total(GiB))
	assert.Less(t, pss.Anon+pss.File, 30*MiB)
}

func TestSamplerWithMoreProcessesThanDescriptors(t *testing.T) {
	j := startSampled(t, "/bin/sh", "-c", `i=0; while [ $i -lt 140 ]; do sleep 600 & i=$((i+1)); done; wait`)
	for deadline := Now() + time.Minute; ; {
		require.Less(t, Now(), deadline)
		s, err := j.sampler.Sample(SampleCPU | SampleMemory)
		require.NoError(t, err)
		if len(s.Processes) == 141 {
			break
		}
	}
	assert.LessOrEqual(t, j.sampler.open, maxKept)
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	assert.Less(t, len(fds), maxKept+64)

	// The end of the namespace is the end of its processes, and no error.
	before, err := j.sampler.Sample(SampleCPU)
	require.NoError(t, err)
	require.NoError(t, j.kill())
	after, err := j.sampler.Sample(SampleCPU | SampleMemory)
	require.NoError(t, err)
	assert.Zero(t, after.Tasks)
	assert.Zero(t, after.RSS)
	assert.GreaterOrEqual(t, after.CPU, before.CPU)
	assert.Zero(t, j.sampler.open)
}

func TestParseStat(t *testing.T) {
	s, err := parseStat([]byte("42 (a) b (c) R 7 1 1 0 -1 4194304 100 0 0 0 11 12 13 14 20 0 3 0 9876 1000 100 18446744073709551615\n"))
	require.NoError(t, err)
	assert.Equal(t, procStat{comm: []byte("a) b (c"), state: 'R', ppid: 7, threads: 3, own: 23, kids: 27, start: 9876}, s)
	for _, text := range []string{"", "1 (x", "1 x) S 1", "1 (x) S 1 2 3", ")("} {
		_, err := parseStat([]byte(text))
		assert.Error(t, err, text)
	}
}

func TestParseStatm(t *testing.T) {
	resident, shared, ok := parseStatm([]byte("1000 250 100 1 0 20 0\n"))
	assert.True(t, ok)
	assert.Equal(t, [2]uint64{250, 100}, [2]uint64{resident, shared})
	for _, text := range []string{"", "1", "1 2", "1 x 3"} {
		_, _, ok := parseStatm([]byte(text))
		assert.False(t, ok, text)
	}
}

func TestParseRollup(t *testing.T) {
	const text = `55a6d2069000-7ffd52f1a000 ---p 00000000 00:00 0                          [rollup]
Rss:                1740 kB
Pss:                 270 kB
Pss_Dirty:           112 kB
Pss_Anon:            112 kB
Pss_File:            100 kB
Pss_Shmem:            58 kB
SwapPss:               4 kB
`
	p, ok := parseRollup([]byte(text))
	assert.True(t, ok)
	assert.Equal(t, PSS{Anon: 112 * KiB, File: 100 * KiB, Shmem: 58 * KiB, Swap: 4 * KiB}, p)
	p, ok = parseRollup([]byte("Rss: 1740 kB\nPss:  270 kB\n"))
	assert.True(t, ok)
	assert.Equal(t, PSS{Anon: 270 * KiB}, p, "older kernels")
	_, ok = parseRollup(nil)
	assert.False(t, ok)
}

func TestParseSysVShm(t *testing.T) {
	const heading = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n"
	n, err := parseSysVShm([]byte(heading +
		"         0          0   600             314572800    33    33      0     0     0     0     0          0          0 1700000000              10485760                  4096\n" +
		"-559038737          1  1600                  4096    33    33      0     0     0     0     0          0          0 1700000000                  4096                     0\n"))
	require.NoError(t, err)
	assert.Equal(t, 10*MiB+8*KiB, n)
	n, err = parseSysVShm([]byte(heading))
	require.NoError(t, err)
	assert.Zero(t, n)
	for _, text := range []string{"", "a b c\n", heading + "1 2 3\n"} {
		_, err := parseSysVShm([]byte(text))
		assert.Error(t, err, text)
	}
}

// The file of another /proc shows the IPC namespace of who opens it.
func TestSysVShm(t *testing.T) {
	f, err := os.Open("/proc/sysvipc/shm")
	if err != nil {
		t.Skip("no SysV IPC: ", err)
	}
	defer f.Close()
	before, err := SysVShm(int(f.Fd()))
	require.NoError(t, err)
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 1<<20, unix.IPC_CREAT|0o600)
	require.NoError(t, err)
	defer func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) }()
	memory, err := unix.SysvShmAttach(id, 0, 0)
	require.NoError(t, err)
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	require.NoError(t, unix.SysvShmDetach(memory))
	after, err := SysVShm(int(f.Fd()))
	require.NoError(t, err)
	assert.Equal(t, MiB, after-before, "touched and detached by all it still takes memory")
}

func TestTmpfsUsed(t *testing.T) {
	fd, err := unix.MemfdCreate("x", unix.MFD_CLOEXEC)
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = TmpfsUsed(fd)
	require.NoError(t, err)
	_, err = TmpfsUsed(-1)
	require.ErrorIs(t, err, unix.EBADF)
}

// A job names its processes as it likes, and its name stands in stat.
func FuzzProcFiles(f *testing.F) {
	f.Add([]byte(statLine(1, 2, "a) b", 3)))
	f.Add([]byte("1000 250 100 1 0 20 0\n"))
	f.Add([]byte("Pss:  270 kB\nPss_Anon: 112 kB\n"))
	f.Add([]byte("key rss swap\n1 2 3\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseStat(text)
		named, err2 := parseStat([]byte(statLine(7, 8, string(text), 9)))
		require.NoError(t, err2, "no command hides the fields behind it")
		require.Equal(t, procStat{comm: text, state: 'S', ppid: 8, threads: 1, own: 23, kids: 27, start: 9}, withComm(named, text))
		if err == nil {
			require.NotZero(t, s.state)
		}
		_, _, _ = parseStatm(text)
		_, _ = parseRollup(text)
		_, _ = parseSysVShm(text)
		_ = parseSchedstat(text)
	})
}

// withComm makes an empty command equal to none.
func withComm(s procStat, text []byte) procStat {
	if len(s.comm) == 0 && len(text) == 0 {
		s.comm = text
	}
	return s
}

func TestStopPending(t *testing.T) {
	for text, want := range map[string]bool{
		"Name:\tx\nShdPnd:\t0000000000040000\nSigBlk:\t0\n": true,
		"Name:\tx\nShdPnd:\t0000000000020000\n":             false,
		"Name:\tx\nSigPnd:\t0000000000040000\n":             false,
		"Name:\tx\nShdPnd:\tzzz\n":                          false,
		"":                                                  false,
	} {
		assert.Equal(t, want, stopPending([]byte(text)), "%q", text)
	}
}

func TestThrottleExcuses(t *testing.T) {
	th := NewThrottle(200, 2)
	now, used := time.Duration(0), time.Duration(0)
	for !th.Resists() {
		th.Step(now, used, 4)
		now, used = now+10*time.Millisecond, used+20*time.Millisecond
		require.Less(t, now, time.Second)
	}
	th.Excuse()
	assert.False(t, th.Resists())
	begin := now
	for !th.Resists() {
		th.Step(now, used, 4)
		now, used = now+10*time.Millisecond, used+20*time.Millisecond
		require.Less(t, now-begin, time.Second, "it is found out again")
	}
}
