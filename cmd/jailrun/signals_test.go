package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"

	"github.com/jailrun/jailrun/tests/program"
)

// A live is a jailrun whose job has said a line.
type live struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	pipe   io.Closer // under out
	in     io.WriteCloser
	result string
}

// startLive starts jailrun on a shell script and waits for its first line.
func startLive(t *testing.T, text string, flags ...string) *live {
	t.Helper()
	lane.Require(t, "unprivileged", "userns", "proc")
	dir := t.TempDir()
	self := filepath.Join(dir, "jailrun")
	program.CopySelf(t, self)
	l := &live{result: filepath.Join(dir, "r.json")}
	args := append([]string{"--cwd", "none", "--result", l.result}, flags...)
	l.cmd = exec.Command(self, append(args, "--", "sh", "-c", text)...)
	l.cmd.Env = append(os.Environ(), "GORACE="+raceOptions)
	out, err := l.cmd.StdoutPipe()
	require.NoError(t, err)
	l.in, err = l.cmd.StdinPipe()
	require.NoError(t, err)
	l.cmd.Stderr = os.Stderr
	// A process group with a parent in the session, as a shell makes it: in an
	// orphaned one SIGTSTP has no effect.
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// What our own caller ignores, as under nohup, is not to be ignored by
	// jailrun: a signal that is caught here has its default action there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP)
	err = l.cmd.Start()
	signal.Stop(caught)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = l.cmd.Process.Kill()
		_, _ = l.cmd.Process.Wait()
	})
	l.out, l.pipe = bufio.NewReader(out), out
	l.expect(t, "ready")
	return l
}

func (l *live) expect(t *testing.T, want string) {
	t.Helper()
	line, err := l.out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, want+"\n", line)
}

// end waits for jailrun's end and reads its result.
func (l *live) end(t *testing.T) (code int, r sandbox.Result) {
	t.Helper()
	_ = l.cmd.Wait() // the state tells more than the error
	text, err := os.ReadFile(l.result)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	return l.cmd.ProcessState.ExitCode(), r
}

func TestSignalsCancel(t *testing.T) {
	for _, c := range []struct {
		signal unix.Signal
		code   int
	}{{unix.SIGINT, 130}, {unix.SIGTERM, 143}, {unix.SIGHUP, 129}, {unix.SIGQUIT, 131}} {
		l := startLive(t, "echo ready; read x")
		require.NoError(t, l.cmd.Process.Signal(c.signal))
		code, r := l.end(t)
		assert.Equal(t, c.code, code)
		assert.Equal(t, sandbox.Canceled, r.Verdict)
		assert.Contains(t, r.Cause, unix.SignalName(c.signal))
	}
}

// The first signal asks, for two seconds unless --grace says otherwise.
func TestASignalAsks(t *testing.T) {
	const script = `trap "echo asked; exit 3" TERM; echo ready; read x`
	for grace, want := range map[string]string{"": "asked\n", "1h": "asked\n", "0": ""} {
		var flags []string
		if grace != "" {
			flags = []string{"--grace", grace}
		}
		l := startLive(t, script, flags...)
		require.NoError(t, l.cmd.Process.Signal(unix.SIGTERM))
		out, err := io.ReadAll(l.out)
		require.NoError(t, err)
		assert.Equal(t, want, string(out), "--grace %q", grace)
		code, r := l.end(t)
		assert.Equal(t, 143, code)
		assert.Equal(t, sandbox.Canceled, r.Verdict)
	}
}

// An output that cannot be delivered ends the job: silently for a closed pipe,
// as for any program, else with an error.
func TestOutputFails(t *testing.T) {
	l := startLive(t, "echo ready; read x; while :; do echo more || exit; done")
	require.NoError(t, l.pipe.Close())
	require.NoError(t, l.in.Close())
	code, r := l.end(t)
	assert.Equal(t, 141, code)
	assert.Equal(t, sandbox.Canceled, r.Verdict)

	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	dir := t.TempDir()
	program.CopySelf(t, filepath.Join(dir, "jailrun"))
	var said strings.Builder
	cmd := exec.Command(filepath.Join(dir, "jailrun"), "--cwd", "none", "--", "sh", "-c", "while :; do echo more; done")
	cmd.Stdout, cmd.Stderr = full, &said
	cmd.Env = append(os.Environ(), "GORACE="+raceOptions)
	_ = cmd.Run() // the state tells more
	assert.Equal(t, 125, cmd.ProcessState.ExitCode())
	assert.Contains(t, said.String(), "no space left")
}

func TestASecondSignalKills(t *testing.T) {
	l := startLive(t, `trap "echo asked" TERM; echo ready; while :; do read x; done`, "--grace", "1h")
	require.NoError(t, l.cmd.Process.Signal(unix.SIGINT))
	l.expect(t, "asked")
	begin := time.Now()
	require.NoError(t, l.cmd.Process.Signal(unix.SIGINT))
	code, r := l.end(t)
	assert.Equal(t, 130, code)
	assert.Equal(t, sandbox.Canceled, r.Verdict)
	assert.Less(t, time.Since(begin), time.Minute)
}

func TestIgnoredSignalsStayIgnored(t *testing.T) {
	lane.Require(t, "unprivileged", "userns", "proc")
	dir := t.TempDir()
	program.CopySelf(t, filepath.Join(dir, "jailrun"))
	// As nohup does; the shell sends the signal to jailrun once the job runs.
	out, err := exec.Command("sh", "-c", `trap "" HUP
		mkfifo `+dir+`/f
		`+dir+`/jailrun --cwd none -- sh -c "echo ready; read x; echo \$x" <`+dir+`/f >`+dir+`/out & pid=$!
		exec 9>`+dir+`/f
		until grep -qs ready `+dir+`/out || ! kill -0 $pid; do :; done
		kill -HUP $pid; echo alive >&9; wait $pid; echo $?; cat `+dir+`/out`).CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, "0\nready\nalive\n", string(out))
}

// SIGTSTP stops jailrun and holds the job; SIGCONT lets both go on.
func TestSuspend(t *testing.T) {
	l := startLive(t, `echo ready; read x; echo "$x"; read x; echo "$x"`)
	pid := l.cmd.Process.Pid
	require.NoError(t, l.cmd.Process.Signal(unix.SIGTSTP))
	var ws unix.WaitStatus
	_, err := unix.Wait4(pid, &ws, unix.WUNTRACED, nil)
	require.NoError(t, err)
	require.True(t, ws.Stopped())
	job := onlyChild(t, onlyChild(t, pid))
	require.Eventually(t, func() bool { // init carries out the order
		now, _, err := stat(strconv.Itoa(job))
		return err == nil && (now == "T" || frozen(job))
	}, 10*time.Second, time.Millisecond, "the job stands still")
	require.NoError(t, l.cmd.Process.Signal(unix.SIGCONT))
	for _, word := range []string{"one", "two"} {
		_, err = io.WriteString(l.in, word+"\n")
		require.NoError(t, err)
		l.expect(t, word)
	}
	code, r := l.end(t)
	assert.Zero(t, code)
	assert.Equal(t, sandbox.Exited, r.Verdict)
}

// stat returns the state and the parent of a process.
func stat(pid string) (state string, parent int, err error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err
}

// frozen reports whether the group of a process stands still, which its state
// does not show.
func frozen(pid int) bool {
	group, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	_, path, _ := strings.Cut("\n"+string(group), "\n0::")
	for _, mount := range [...]string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		events, _ := os.ReadFile(mount + strings.TrimSpace(path) + "/cgroup.events")
		if strings.Contains(string(events), "frozen 1") {
			return true
		}
	}
	return false
}

func onlyChild(t *testing.T, of int) int {
	t.Helper()
	for _, name := range names(t, "/proc") {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if _, parent, err := stat(name); err == nil && parent == of {
			return pid
		}
	}
	require.Fail(t, "no child", "of %d", of)
	return 0
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return all
}
