package userns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The tests of rootless behaviour run as a user who owns nothing and has no
// account: the test binary starts itself again for each. What needs another /etc
// or another mount gets a mount namespace of its own, so that the machine stays as
// it is.

const (
	testID = 12345 // uid and gid of the unprivileged tests

	envRole = "JAILRUN_USERNS_TEST_ROLE" // a role of TestMain, "" for tests
	envEtc  = "JAILRUN_USERNS_TEST_ETC"  // directory to be shown as /etc
	envArgs = "JAILRUN_USERNS_TEST_ARGS" // of a role
)

// roles are what the test binary does instead of tests when told so.
var roles = map[string]func() error{
	"chroot": roleChroot,
	"etc":    roleEtc,
	"mount":  roleMount,
	"nnp":    roleNoNewPrivs,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		os.Unsetenv(envRole)
		if err := roles[role](); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	before := openFiles()
	code := m.Run()
	if after := openFiles(); code == 0 && len(after) > len(before) {
		fmt.Fprintf(os.Stderr, "descriptors left open: %v, at the start: %v\n", after, before)
		code = 1
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); code == 0 && !errors.Is(err, unix.ECHILD) {
		fmt.Fprintln(os.Stderr, "a child process was left:", err)
		code = 1
	}
	os.Exit(code)
}

// openFiles are the descriptors of this process, without those of the runtime's
// poller.
func openFiles() []string {
	var list []string
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasPrefix(to, "/proc/") {
			list = append(list, fd.Name()+"→"+to)
		}
	}
	return list
}

// again runs the current test once more, in a process with these attributes, and
// fails unless it passes there.
func again(t *testing.T, attr *syscall.SysProcAttr, env ...string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Dir = "/"
	// A race build waits a second at the end of each process unless told not to.
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	require.NoErrorf(t, err, "%s", out)
	require.Containsf(t, string(out), "--- PASS: "+t.Name(), "the test did not run: %s", out)
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

func unprivileged() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testID, Gid: testID}}
}

// asUser reports whether the caller is unprivileged. If not, it has run the test
// as somebody who is, and the caller returns.
func asUser(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	again(t, unprivileged())
	return false
}

// asUserWithEtc is asUser with an /etc that holds these files and no others, in
// which the user testID is named tester.
func asUserWithEtc(t *testing.T, files map[string]string) bool {
	t.Helper()
	if os.Getenv(envEtc) != "" {
		require.NotZero(t, os.Geteuid())
		return true
	}
	requireRoot(t, "to show another /etc")
	etc := t.TempDir()
	require.NoError(t, os.Chmod(etc, 0o755))
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\ntester:x:12345:12345::/:/bin/sh\n",
		"group":  "root:x:0:\ntester:x:12345:\n", "nsswitch.conf": "passwd: files\ngroup: files\n",
	} {
		if _, ok := files[name]; !ok {
			require.NoError(t, os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644))
		}
	}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644))
	}
	again(t, &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}, envRole+"=etc", envEtc+"="+etc)
	return false
}

// roleEtc, as root in a mount namespace of its own, shows the directory as /etc
// and goes on with the tests as the unprivileged user.
func roleEtc() error {
	if err := unix.Mount(os.Getenv(envEtc), "/etc", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = unprivileged()
	return cmd.Run()
}

func requireRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root " + why)
	}
}

// newTarget is a process in a new user namespace, ended with the test. The caller
// is locked to its thread, as startStopped wants it.
func newTarget(t *testing.T) *stopped {
	t.Helper()
	unlock := lockThread()
	p, err := startStopped(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER})
	require.NoError(t, err)
	t.Cleanup(func() { p.end(); unlock() })
	return p
}

// procFile reads a file of a process.
func procFile(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	require.NoError(t, err)
	return strings.Join(strings.Fields(string(b)), " ")
}

func TestUnprivilegedTestsAreUnprivileged(t *testing.T) {
	if !asUser(t) {
		return
	}
	assert.NotZero(t, os.Geteuid())
	caps, err := effectiveCaps()
	require.NoError(t, err)
	assert.Zero(t, caps)
}
