package netslirp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// ErrNotInstalled reports that a helper program is missing.
var ErrNotInstalled = errors.New("is not installed")

// helperDirs is where helpers are looked for. PATH does not count: it belongs
// to whoever calls us.
var helperDirs = [...]string{"/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"}

// findHelper returns the path of a helper program.
func findHelper(name string) (string, error) {
	for _, dir := range helperDirs {
		path := dir + "/" + name
		err := unix.Access(path, unix.X_OK)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", &os.PathError{Op: "execute", Path: path, Err: err}
		}
	}
	return "", &hintError{fmt.Errorf("%s %w in %s", name, ErrNotInstalled, strings.Join(helperDirs[:], ", ")), "install the package " + packageOf(name)}
}

func packageOf(name string) string {
	switch name {
	case "pasta":
		return "passt"
	case "ip":
		return "iproute2"
	case "nsenter":
		return "util-linux"
	}
	return name
}

const startPatience = 5 * time.Second

// A helper is a process that serves one network.
type helper struct {
	name  string
	pid   int      // our child, reaped by awaitEnd alone
	pidfd *os.File // of it
	said  tail
	done  chan struct{} // closed when the process has been reaped and has said all
	// After done:
	failed error // it could not be executed
	status unix.WaitStatus
}

// start starts the helper. What a caller's variables could do to it is nobody's
// business: it has its own.
func start(c command) (*helper, error) {
	said, saidEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer saidEnd.Close()
	status, statusEnd, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, said.Close())
	}
	defer statusEnd.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, said.Close(), status.Close())
	}
	defer null.Close()
	p, binds := c.program(null, null, saidEnd)
	binds = append(binds, prog.Binding{Slot: prog.SlotStatus, Fd: int(statusEnd.Fd())})
	if c.group != nil {
		binds = append(binds, prog.Binding{Slot: prog.SlotInitGroup, Fd: int(c.group.Fd())})
	}
	proc, err := p.StartChild(binds)
	if err != nil {
		return nil, errors.Join(err, said.Close(), status.Close())
	}
	h := &helper{name: c.name, pid: proc.Pid, pidfd: proc.PidFd, done: make(chan struct{})}
	go h.awaitEnd(p, proc, said, status)
	return h, nil
}

// awaitEnd reads what the helper says and reaps it.
func (h *helper) awaitEnd(p *prog.Program, proc *prog.Process, said, status *os.File) {
	defer close(h.done)
	if msg, _ := io.ReadAll(status); len(msg) > 0 {
		h.failed = launchError(p, msg)
	}
	_, _ = io.Copy(&h.said, said)
	for {
		_, err := unix.Wait4(h.pid, &h.status, unix.WALL, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_, _, _ = status.Close(), said.Close(), proc.Release()
}

func (h *helper) kill() { _ = unix.PidfdSendSignal(int(h.pidfd.Fd()), unix.SIGKILL, nil, 0) } // fails if it is over

// stop ends the helper and reaps it. It may be called again.
func (h *helper) stop() {
	h.kill()
	<-h.done
	_ = h.pidfd.Close()
}

func (h *helper) settle() { settle(h.pid, h.done) }

// settle waits until a helper has passed on what the job's kernel still sent
// when the job ended, as any kernel does for programs that are gone: asleep, it
// has nothing left to read. It is bounded: a peer that takes nothing is not
// waited for.
func settle(pid int, done <-chan struct{}) {
	quiet := 0
	for range settleLooks {
		if quiet++; !asleep(pid) {
			quiet = 0
		}
		if quiet == settleQuiet {
			return
		}
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

const (
	settleQuiet = 3   // looks in a row, a millisecond apart
	settleLooks = 250 // at most
)

func asleep(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := bytes.Cut(stat, []byte(") "))
	return err != nil || ok && rest[0] == 'S'
}

// ended says how the helper ended, or "" if it runs.
func (h *helper) ended() string {
	select {
	case <-h.done:
	default:
		if !hasEnded(h.pidfd) {
			return ""
		}
		<-h.done // dead, and not yet reaped by the goroutine that waits for it
	}
	how := "it ended"
	switch {
	case h.failed != nil:
		how = h.failed.Error()
	case h.status.Signaled():
		how = "signal: " + h.status.Signal().String()
	case h.status.ExitStatus() != 0:
		how = "exit status " + strconv.Itoa(h.status.ExitStatus())
	}
	if said := h.said.String(); said != "" && h.status.Exited() {
		how += ": " + said
	}
	return h.name + ": " + how
}

// hasEnded reports whether the process is dead, be it reaped or not.
func hasEnded(pidfd *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// tail keeps the last lines that a helper said. It may be used by several
// goroutines.
type tail struct {
	sync.Mutex
	b []byte
}

const tailSize = 1 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.Lock()
	defer t.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b); n > tailSize {
		t.b = append(t.b[:0], t.b[n-tailSize:]...)
	}
	return len(p), nil
}

// String returns the last three lines as one.
func (t *tail) String() string {
	t.Lock()
	defer t.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte("; ")))
}
