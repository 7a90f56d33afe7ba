package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
)

// columns is the width of the terminal.
const columns = 50

// A terminal is a batch with a terminal of its own, and what stands on it. Its
// jobs read from the FIFO shown/go, which is how the test knows where they are:
// what may only be read would be a copy.
type terminal struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	master *os.File
	mu     sync.Mutex
	more   *sync.Cond
	text   strings.Builder
	closed bool
	over   chan struct{} // the batch has ended
	result error
}

// onTerminal starts jailrun-batch in the foreground of a terminal.
func onTerminal(t *testing.T, jobs string, args ...string) *terminal {
	t.Helper()
	lane.Require(t, "unprivileged", "userns", "proc")
	bin := installed(t)
	x := &terminal{t: t, dir: t.TempDir(), over: make(chan struct{})}
	x.more = sync.NewCond(&x.mu)
	require.NoError(t, os.WriteFile(filepath.Join(x.dir, "jobs.yaml"), []byte(jobs), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(x.dir, "shown"), 0o755))
	require.NoError(t, unix.Mkfifo(x.fifo(), 0o600))
	var err error
	x.master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { x.master.Close() })
	fd := int(x.master.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	defer slave.Close()
	x.cmd = exec.Command(filepath.Join(bin, "jailrun-batch"), append(args, "--allow", x.dir+"/shown:rw", "--state", filepath.Join(x.dir, "state"), "jobs.yaml")...)
	x.cmd.Dir = x.dir
	x.cmd.Env = append(os.Environ(), "TERM=xterm", "GORACE="+raceOptions)
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, x.cmd.Start())
	go func() {
		x.result = x.cmd.Wait()
		close(x.over)
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill() // it has ended long ago
		<-x.over
	})
	go x.read()
	return x
}

func (x *terminal) fifo() string { return filepath.Join(x.dir, "shown", "go") }

// read takes what is written until the last program on the terminal has ended,
// which a master sees as EIO.
func (x *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.master.Read(buf)
		x.mu.Lock()
		x.text.Write(buf[:n])
		x.closed = x.closed || err != nil
		x.more.Broadcast()
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// shows waits until a text was written.
func (x *terminal) shows(want string) {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !strings.Contains(x.text.String(), want) {
		require.False(x.t, x.closed, "%q was not written before the end:\n%q", want, x.text.String())
		x.more.Wait()
	}
}

// press is Ctrl-C at the keyboard.
func (x *terminal) press() {
	x.t.Helper()
	_, err := x.master.WriteString("\x03")
	require.NoError(x.t, err)
}

// started waits for a job that reads from go. Closing the end of the FIFO lets
// it go on.
func (x *terminal) started() *os.File {
	x.t.Helper()
	opened := make(chan *os.File, 1)
	go func() {
		f, err := os.OpenFile(x.fifo(), os.O_WRONLY, 0) // waits for a reader
		assert.NoError(x.t, err)
		opened <- f
	}()
	select {
	case f := <-opened:
		return f
	case <-x.over:
		reader, err := os.OpenFile(x.fifo(), os.O_RDONLY|unix.O_NONBLOCK, 0)
		require.NoError(x.t, err)
		(<-opened).Close()
		reader.Close()
		require.Fail(x.t, "the batch has ended before the job began", "%v: %s", x.result, x.text.String())
		return nil
	}
}

// ends waits for the end and returns the exit code and all that was written.
func (x *terminal) ends() (int, string) {
	x.t.Helper()
	<-x.over
	require.True(x.t, x.cmd.ProcessState.Exited(), "%v", x.result)
	x.mu.Lock()
	defer x.mu.Unlock()
	for !x.closed {
		x.more.Wait()
	}
	return x.cmd.ProcessState.ExitCode(), x.text.String()
}

const waiting = `
jobs:
  a: {cwd: none, bind: ["shown:/shown:rw"], run: [cat, /shown/go]}
  b: {run: ["true"], needs: a}
  c: {run: ["true"], needs: a}
`

var escapes = regexp.MustCompile(`\x1b\[[0-9]*[AJ]`)

// TestLive: on a terminal there is a line for each job that runs and a bar under
// them; both give way to what stays.
func TestLive(t *testing.T) {
	t.Parallel()
	const name = "a-job-with-a-name-longer-than-the-terminal-has-columns"
	x := onTerminal(t, fmt.Sprintf(`
jobs:
  %s: {cwd: none, bind: ["shown:/shown:rw"], run: [cat, /shown/go]}
  hostile: {matrix: {v: ["\e[31mred"]}, run: ["false"], needs: %[1]s}
`, name))
	job := x.started()
	x.shows("s  " + name[:columns-12])
	x.shows("[--------------------] 0/2")
	require.NoError(t, job.Close())
	code, all := x.ends()
	assert.Equal(t, 1, code)
	assert.Contains(t, all, "\x1b[2A\x1b[J", "the job's line and the bar are taken away together")
	assert.Contains(t, all, `RE  hostile/\x1b[31mred`, "what does not pass stays")
	assert.NotContains(t, all, "\x1b[31m")
	assert.NotContains(t, all, "AC  "+name[:10], "what passes does not")
	assert.Contains(t, all, "jailrun: 1 of 2 passed (1 AC, 1 RE) in ")
	for line := range strings.SplitSeq(escapes.ReplaceAllString(all, ""), "\r\n") {
		if !strings.HasPrefix(line, "jailrun: 1 of") {
			assert.Less(t, len([]rune(line)), columns, "%q would take two rows, and erasing would leave one", line)
		}
	}
	last := all[strings.LastIndex(all, "\x1b[J"):]
	assert.NotRegexp(t, `\[[#-]`, last, "nothing live is left")
}

// TestPlain: where the lines cannot be taken away there are none that would have
// to be.
func TestPlain(t *testing.T) {
	t.Parallel()
	x := onTerminal(t, waiting, "-q")
	require.NoError(t, x.started().Close())
	code, all := x.ends()
	assert.Zero(t, code)
	assert.Empty(t, all, "quiet is quiet on a terminal, too")
}

// TestCtrlC: the first lets no further job start and those that run end, and
// --resume goes on with the rest.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	x := onTerminal(t, waiting)
	job := x.started()
	x.press()
	x.shows("no further job starts; once more ends those that run")
	require.NoError(t, job.Close())
	code, all := x.ends()
	assert.Equal(t, exitInterrupted, code)
	assert.Contains(t, all, "1 of 3 passed (1 AC), 2 not run; --resume goes on in ")

	again := exec.Command(x.cmd.Path, "--resume", "--allow", x.dir+"/shown:rw", "--state", filepath.Join(x.dir, "state"), "jobs.yaml")
	again.Dir, again.Env = x.dir, append(os.Environ(), "GORACE="+raceOptions)
	out, err := again.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "3 of 3 passed (3 AC), 1 from the journal in ")
}

// TestCtrlCTwice: the second ends what runs. It counts as not run.
func TestCtrlCTwice(t *testing.T) {
	t.Parallel()
	x := onTerminal(t, waiting)
	job := x.started()
	defer job.Close()
	x.press()
	x.shows("no further job starts")
	x.press()
	code, all := x.ends()
	assert.Equal(t, exitInterrupted, code)
	assert.Contains(t, all, "0 of 3 passed, 3 not run; --resume goes on in ")
	_, err := job.WriteString("x")
	assert.ErrorIs(t, err, unix.EPIPE, "nobody is left who reads")
}
