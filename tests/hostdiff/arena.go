// Package hostdiff holds what the hostile tests share: a place in which
// nothing happens but what they do, jailrun's programs run there under every
// identity, and pictures of the host before and after.
//
// As root the tests run in a mount, network and IPC namespace of their own, on
// a machine that is otherwise the host, with users of which no other process
// has the ids. Mounts propagate within it, so that one which escapes from a
// sandbox shows. As an ordinary user they run where they are.
package hostdiff

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// An Identity is who calls jailrun, and with which map.
type Identity string

// The identities.
const (
	Self  Identity = "self"  // an ordinary user, as root of a map of one line
	Auto  Identity = "auto"  // an ordinary user with subordinate ids
	Block Identity = "block" // root, for whom a block of ids is locked
)

// An Arena is where the tests of one process run.
type Arena struct {
	Bin  string // directory of jailrun and its siblings
	Home string // writable for the user, and no one else's; removed at the end
	UID  int    // of the ordinary user
	root bool
	auto error // why there is no Auto

	runners sync.Map        // pids of all that have run
	older   map[string]bool // groups that were there before
}

// arenaEnv tells the process inside of the new namespaces where it is.
const arenaEnv = "JAILRUN_ARENA"

// Here is the arena of this process, once [Main] has made it.
var Here *Arena

// Main runs m's tests in an arena and exits. It is the whole TestMain. more
// names siblings of jailrun that the tests need besides.
func Main(m *testing.M, more ...string) {
	code, err := enter(m, more)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostdiff:", err)
		code = max(code, 2)
	}
	os.Exit(code)
}

func enter(m *testing.M, more []string) (int, error) {
	inside := os.Getenv(arenaEnv)
	if inside == "" && os.Geteuid() == 0 {
		return isolate(more)
	}
	a := &Arena{Home: inside, root: os.Geteuid() == 0}
	a.UID = os.Geteuid()
	if inside == "" {
		home, bin, err := prepare(more)
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(home)
		a.Home, a.Bin = home, bin
	} else {
		a.Bin = filepath.Join(inside, "bin")
	}
	if v := os.Getenv("JAILRUN_BIN"); v != "" {
		a.Bin = v
	}
	if a.root {
		a.UID = foreignUID(os.Getppid())
		if err := a.furnish(); err != nil {
			return 0, err
		}
	} else {
		a.auto = errors.New("an ordinary user's subordinate ids are tested in packages userns and idmap")
	}
	// What a runner leaves behind becomes a child of this process, and shows.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl", err)
	}
	Here, a.older = a, olderGroups()
	dying, _ := Dying()
	code := m.Run()
	return code, buried(dying)
}

// foreignUID is an id that no account has, and no other process at this time.
func foreignUID(pid int) int { return 200000 + pid }

// prepare makes the home and builds the programs, unless JAILRUN_BIN names
// their directory or a lane has built them beside the tests.
func prepare(more []string) (home, bin string, err error) {
	home, err = os.MkdirTemp("", "jailrun-arena-")
	if err != nil {
		return "", "", err
	}
	if err := os.Chmod(home, 0o755); err != nil {
		return "", "", err
	}
	bin = filepath.Join(home, "bin")
	if os.Getenv("JAILRUN_BIN") != "" {
		return home, bin, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "bin")
		if _, err := os.Stat(filepath.Join(beside, "jailrun-selftest")); err == nil {
			return home, beside, nil
		}
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", bin + "/"}
	for _, name := range append([]string{"jailrun", "jailrun-selftest"}, more...) {
		args = append(args, "github.com/jailrun/jailrun/cmd/"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", errors.Join(fmt.Errorf("build jailrun: %w\n%s", err, out), os.RemoveAll(home))
	}
	return home, bin, nil
}

// isolate runs this test binary again in namespaces of its own.
func isolate(more []string) (int, error) {
	home, _, err := prepare(more)
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(home)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), arenaEnv+"="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		Pdeathsig:    unix.SIGKILL,
	}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// furnish makes the namespaces fit to live in: mounts that stay here and
// propagate here, a loopback, an account with subordinate ids.
func (a *Arena) furnish() error {
	for _, flags := range []uintptr{unix.MS_REC | unix.MS_PRIVATE, unix.MS_REC | unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", flags, ""); err != nil {
			return os.NewSyscallError("mount", err)
		}
	}
	if err := loopback(); err != nil {
		return err
	}
	// Hosts may have none at /dev/mqueue.
	if err := os.Mkdir(a.queues(), 0o755); err != nil { //nolint:gosec // a mount point
		return err
	}
	if err := unix.Mount("mqueue", a.queues(), "mqueue", 0, ""); err != nil && !errors.Is(err, unix.ENODEV) {
		return os.NewSyscallError("mount mqueue", err)
	}
	// Root's runs of others write here.
	if err := unix.Mount("none", "/var/lib/jailrun", "tmpfs", 0, "mode=700"); err != nil && !errors.Is(err, unix.ENOENT) {
		return os.NewSyscallError("mount", err)
	}
	if err := a.openTun(); err != nil {
		return err
	}
	uid := strconv.Itoa(a.UID)
	for _, f := range []struct{ name, line string }{
		{"passwd", "hostile:x:" + uid + ":" + uid + "::" + a.Home + ":/bin/sh"},
		{"group", "hostile:x:" + uid + ":"},
		{"subuid", "hostile:" + strconv.Itoa(1<<30+a.UID*65536%(1<<29)) + ":65536"},
		{"subgid", "hostile:" + strconv.Itoa(1<<30+a.UID*65536%(1<<29)) + ":65536"},
	} {
		if err := a.append(f.name, f.line); err != nil {
			return err
		}
	}
	if _, err := os.Stat("/usr/bin/newuidmap"); err != nil {
		a.auto = err
	}
	return os.Chown(a.Home, a.UID, a.UID)
}

// queues is where the message queues of the IPC namespace are to be seen.
func (a *Arena) queues() string { return filepath.Join(a.Home, "mqueue") }

// openTun shows a /dev/net/tun that is open to all, as hosts with a network of
// users' own have it.
func (a *Arena) openTun() error {
	var st unix.Stat_t
	if unix.Stat("/dev/net/tun", &st) != nil {
		return nil // then there is none to be had
	}
	node := filepath.Join(a.Home, "tun")
	if err := unix.Mknod(node, unix.S_IFCHR, int(st.Rdev)); err != nil {
		return &os.PathError{Op: "mknod", Path: node, Err: err}
	}
	if err := os.Chmod(node, 0o666); err != nil {
		return err
	}
	return os.NewSyscallError("mount", unix.Mount(node, "/dev/net/tun", "", unix.MS_BIND, ""))
}

// append shows /etc/NAME with a line more.
func (a *Arena) append(name, line string) error {
	text, err := os.ReadFile("/etc/" + name)
	if errors.Is(err, os.ErrNotExist) {
		a.auto = err
		return nil
	}
	if err != nil {
		return err
	}
	mine := filepath.Join(a.Home, name)
	if err := os.WriteFile(mine, append(text, []byte(line+"\n")...), 0o644); err != nil { //nolint:gosec // as /etc has it
		return err
	}
	return os.NewSyscallError("mount", unix.Mount(mine, "/etc/"+name, "", unix.MS_BIND, ""))
}

func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return os.NewSyscallError("ioctl", unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req))
}

// Identities lists those that can be had here.
func (a *Arena) Identities(t *testing.T) []Identity {
	t.Helper()
	ids := []Identity{Self}
	if a.auto == nil {
		ids = append(ids, Auto)
	} else {
		t.Log("identity auto is left out:", a.auto)
	}
	if a.root {
		ids = append(ids, Block)
	} else {
		t.Log("identity block is left out: these tests do not run as root")
	}
	return ids
}

// Each runs a test under every identity.
func (a *Arena) Each(t *testing.T, test func(t *testing.T, id Identity)) {
	t.Helper()
	for _, id := range a.Identities(t) {
		t.Run(string(id), func(t *testing.T) { test(t, id) })
	}
}

// Root reports whether the tests have root's rights outside.
func (a *Arena) Root() bool { return a.root }

// Dir makes an empty directory that the ordinary user owns and can be seen
// inside; it is removed after the test.
func (a *Arena) Dir(t *testing.T) string {
	t.Helper()
	// Not t.TempDir: the go tool's own lies below a directory of mode 0700.
	dir, err := os.MkdirTemp(a.Home, strings.ReplaceAll(t.Name(), "/", "-")+"-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if a.root {
		if err := os.Chown(dir, a.UID, a.UID); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
