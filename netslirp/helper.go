package netslirp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// Bounds of one helper. Its group has others; these hold where there is none.
const (
	helperData    = 256 << 20 // RLIMIT_DATA: libslirp's buffers grow with the connections
	startPatience = 5 * time.Second
)

// A helper is a process that serves one network.
type helper struct {
	name string
	cmd  *exec.Cmd
	said tail
	done chan struct{} // closed when the process has been reaped
	err  error         // of Wait; read after done
}

// start starts the helper, called name, with the files as descriptors 3 and up, in the group
// if there is one, with an environment of its own: what a caller's variables
// could do to it is nobody's business.
func start(name, path string, args []string, group *os.File, files ...*os.File) (*helper, error) {
	h := &helper{name: name, cmd: exec.Command(path, args...), done: make(chan struct{})}
	h.cmd.Stderr, h.cmd.ExtraFiles = &h.said, files
	h.cmd.Env, h.cmd.Dir = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, "/"
	// A session of its own: Ctrl-C at the terminal is for the runner.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if group != nil {
		h.cmd.SysProcAttr.UseCgroupFD, h.cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		h.err = h.cmd.Wait()
		close(h.done)
	}()
	if err := h.bound(); err != nil {
		h.stop()
		return nil, err
	}
	return h, nil
}

// bound sets the limits of the helper, which has not seen a packet yet.
func (h *helper) bound() error {
	for _, l := range [...]struct {
		resource int
		max      uint64
	}{{unix.RLIMIT_DATA, helperData}, {unix.RLIMIT_CORE, 0}} {
		err := unix.Prlimit(h.cmd.Process.Pid, l.resource, &unix.Rlimit{Cur: l.max, Max: l.max}, nil)
		if err != nil && !errors.Is(err, unix.ESRCH) { // ended already: who waits for it will say
			return os.NewSyscallError("prlimit", err)
		}
	}
	return nil
}

func (h *helper) kill() { _ = h.cmd.Process.Kill() } // fails if it is over

// stop ends the helper and reaps it. It may be called again.
func (h *helper) stop() {
	h.kill()
	<-h.done
}

// settle waits until the helper has passed on what the job's kernel still sent
// when the job ended, as any kernel does for programs that are gone: asleep, it
// has nothing left to read. It is bounded: a peer that takes nothing is not
// waited for.
func (h *helper) settle() {
	asleep := 0
	for range settleLooks {
		if asleep++; !h.asleep() {
			asleep = 0
		}
		if asleep == settleQuiet {
			return
		}
		select {
		case <-h.done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

const (
	settleQuiet = 3   // looks in a row, a millisecond apart
	settleLooks = 250 // at most
)

func (h *helper) asleep() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.cmd.Process.Pid))
	_, rest, ok := bytes.Cut(stat, []byte(") "))
	return err != nil || ok && rest[0] == 'S'
}

// ended says how the helper ended, or "" if it runs.
func (h *helper) ended() string {
	// It may be dead and not yet reaped by the goroutine that waits for it.
	var dead unix.Siginfo
	err := unix.Waitid(unix.P_PID, h.cmd.Process.Pid, &dead, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err == nil && dead.Signo == 0 {
		return ""
	}
	<-h.done
	how := "it ended"
	if h.err != nil {
		how = h.err.Error()
	}
	if said := h.said.String(); said != "" && h.cmd.ProcessState.Exited() {
		how += ": " + said
	}
	return h.name + ": " + how
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
