package userns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

// helperDirs are the only places where a helper may be. PATH is the caller's: a
// program named newuidmap in it would be started with a job's pid and could map
// what it likes.
var helperDirs = []string{"/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"}

// helperTime bounds one helper. A few milliseconds are usual; a directory service
// that does not answer may keep it for ever.
const helperTime = 30 * time.Second

// Errors that callers branch on.
var (
	// ErrNoHelper reports that newuidmap or newgidmap is missing or cannot
	// gain the rights it needs. The Debian package is uidmap.
	ErrNoHelper = errors.New("no usable newuidmap or newgidmap")

	// ErrNoNewPrivs, always together with ErrNoHelper, reports that this
	// process has no_new_privs set: no program that it starts gains rights.
	ErrNoNewPrivs = errors.New("no_new_privs is set")
)

// HelperError is a helper that ran and did not do it.
type HelperError struct {
	Path   string   // of the helper
	Args   []string // without the name
	Status string   // "exit status 1"
	Output string   // what it said, without control bytes, at most 512 bytes
	Err    error    // why we ended it, nil if it ended by itself
}

// Error is one line.
func (e *HelperError) Error() string {
	s := e.Path + " " + strings.Join(e.Args, " ") + ": " + e.Status
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Output != "" {
		s += ": " + e.Output
	}
	return s
}

// Unwrap is why we ended it: the context's cause or deadline.
func (e *HelperError) Unwrap() error { return e.Err }

// findHelper returns the path of a helper that is able to gain rights. If there is
// only one that is not, the error says what is wrong with it.
func findHelper(name string, dirs []string) (string, error) {
	set, err := noNewPrivs()
	if err != nil {
		return "", err
	}
	if set {
		return "", fmt.Errorf("%w: %w on this process, so %s cannot gain its rights", ErrNoHelper, ErrNoNewPrivs, name)
	}
	var wrong error
	for _, dir := range dirs {
		path := dir + "/" + name
		err := checkHelper(path)
		if err == nil {
			return path, nil
		}
		if wrong == nil && !errors.Is(err, unix.ENOENT) {
			wrong = err
		}
	}
	if wrong != nil {
		return "", fmt.Errorf("%w: %w", ErrNoHelper, wrong)
	}
	return "", fmt.Errorf("%w: %s is not in %s", ErrNoHelper, name, strings.Join(dirs, ", "))
}

// checkHelper says why the program at path would not gain rights, or must not be
// trusted with them. The directories belong to root, so what is seen here is what
// will be started.
func checkHelper(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s is not a regular file", path)
	case st.Uid != 0:
		return fmt.Errorf("%s belongs to uid %d instead of root", path, st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s may be changed by others than root (mode %04o)", path, st.Mode&0o7777)
	case st.Mode&unix.S_ISUID == 0 && !hasFileCaps(path):
		return fmt.Errorf("%s is neither setuid root nor has file capabilities", path)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if fs.Flags&unix.ST_NOSUID != 0 {
		return fmt.Errorf("%s is on a file system mounted nosuid", path)
	}
	return nil
}

// hasFileCaps reports a security.capability attribute, which Fedora uses in place
// of the setuid bit.
func hasFileCaps(path string) bool {
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

func noNewPrivs() (bool, error) {
	v, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return v == 1, os.NewSyscallError("prctl", err)
}

// helperArgs are the arguments for one map: PID, then INSIDE OUTSIDE COUNT of each
// line.
func helperArgs(pid string, m idmap.Map) []string {
	args := []string{pid}
	for _, r := range m {
		for _, n := range []uint32{r.Inside, r.Outside, r.Count} {
			args = append(args, strconv.FormatUint(uint64(n), 10))
		}
	}
	return args
}

// helper is a running helper. A nil one has nothing to do.
type helper struct {
	path string
	args []string
	proc *os.Process
	out  *os.File // read end of its stdout and stderr
}

func startHelper(path string, args []string) (*helper, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	proc, err := os.StartProcess(path, append([]string{path}, args...), &os.ProcAttr{
		Dir: "/",
		// Nothing of the caller's: a setuid program should see as little
		// as possible. Its messages in English, as our readers expect.
		Env:   []string{"LC_ALL=C"},
		Files: []*os.File{null, w, w},
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	return &helper{path: path, args: args, proc: proc, out: r}, nil
}

func (h *helper) kill() {
	if h != nil {
		_ = h.proc.Kill()
	}
}

// wait returns when the helper has ended: nil if it succeeded. A helper that
// outlasts ctx or helperTime is killed; we may, its real uid is still ours.
func (h *helper) wait(ctx context.Context) error {
	if h == nil {
		return nil
	}
	defer h.out.Close()
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	stop := context.AfterFunc(ctx, h.kill)
	defer stop()

	const most = 512
	said, readErr := io.ReadAll(io.LimitReader(h.out, most))
	// It must not block on a full pipe when it has more to say.
	_, copyErr := io.Copy(io.Discard, h.out)
	state, err := h.proc.Wait()
	if err := both(readErr, both(copyErr, err)); err != nil {
		return &HelperError{Path: h.path, Args: h.args, Status: "could not be waited for", Err: err}
	}
	if state.Success() {
		return nil
	}
	return &HelperError{
		Path: h.path, Args: h.args, Status: state.String(),
		Output: quoteOutput(said), Err: context.Cause(ctx),
	}
}

// quoteOutput makes what a helper said fit for a terminal and a log.
func quoteOutput(b []byte) string {
	s := strings.TrimSpace(string(b))
	if s == "" {
		return ""
	}
	return strconv.QuoteToASCII(s)
}

// both joins two errors on one line; nil if there is none.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	default:
		return fmt.Errorf("%w; %w", a, b)
	}
}
