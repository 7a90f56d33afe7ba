package userns

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

func TestNewNamespace(t *testing.T) {
	if !asUser(t) {
		return
	}
	uid, gid := own()
	a, err := NewNamespace(t.Context(), uid, gid)
	require.NoError(t, err)
	defer a.Close()
	b, err := NewNamespace(t.Context(), uid, gid)
	require.NoError(t, err)
	defer b.Close()

	inode := func(f *os.File) uint64 {
		var st unix.Stat_t
		require.NoError(t, unix.Fstat(int(f.Fd()), &st))
		return st.Ino
	}
	self, err := os.Open("/proc/self/ns/user")
	require.NoError(t, err)
	defer self.Close()
	assert.NotEqual(t, inode(a), inode(b))
	assert.NotEqual(t, inode(a), inode(self))
	kind, err := unix.IoctlRetInt(int(a.Fd()), unix.NS_GET_NSTYPE)
	require.NoError(t, err)
	assert.Equal(t, unix.CLONE_NEWUSER, kind)

	_, err = unix.Wait4(-1, nil, unix.WNOHANG, nil)
	require.ErrorIs(t, err, unix.ECHILD, "no process is left")
}

// The process must never run: a library's caller would find itself started again.
func TestStoppedNeverRuns(t *testing.T) {
	if !asUser(t) {
		return
	}
	p := newTarget(t)
	// StartProcess returns when exec closes descriptors, a moment before the
	// stop.
	for procState(t, p.proc.Pid) == "R" {
		runtime.Gosched()
	}
	require.Equal(t, "t", procState(t, p.proc.Pid), "stopped by its tracer")
	// The first thing a Go program does is to reserve room for its heap.
	const reserved = " ---p "
	assert.Contains(t, procFile(t, os.Getpid(), "maps"), reserved)
	assert.NotContains(t, procFile(t, p.proc.Pid, "maps"), reserved)
}

func procState(t *testing.T, pid int) string {
	t.Helper()
	stat := procFile(t, pid, "stat")
	// After the name, which is in parentheses and may hold some.
	return stat[strings.LastIndex(stat, ") ")+2:][:1]
}

// In a namespace that allows no further ones the refusal is named with its fix.
func TestDisabled(t *testing.T) {
	if !asUser(t) {
		return
	}
	if os.Getenv(envArgs) == "" {
		again(t, &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 7, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 7, HostID: os.Getegid(), Size: 1}},
			AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE, unix.CAP_SYS_ADMIN},
		}, envArgs+"=inside")
		return
	}
	// Control: one more is possible.
	ns, err := NewNamespace(t.Context(), idmap.Self(0, 7), idmap.Self(0, 7))
	require.NoError(t, err)
	require.NoError(t, ns.Close())

	require.NoError(t, os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0))
	_, err = NewNamespace(t.Context(), idmap.Self(0, 7), idmap.Self(0, 7))
	require.ErrorIs(t, err, ErrDisabled)
	require.ErrorIs(t, err, unix.ENOSPC)
	var d *DisabledError
	require.ErrorAs(t, err, &d)
	assert.Equal(t, "user.max_user_namespaces is 0", d.Why)
	assert.Contains(t, d.Fix, "sysctl user.max_user_namespaces=15000")

	rows := byName(Probes(t.Context()))
	for _, name := range []string{ProbeNamespaces, ProbeOwnMap, ProbeRights, ProbeMax} {
		assert.Equalf(t, No, rows[name].Answer, "%+v", rows[name])
		assert.Equalf(t, d.Fix, rows[name].Fix, "%+v", rows[name])
	}
}

// fakeHost is a /proc with these files.
func fakeHost(t *testing.T, files map[string]string) host {
	t.Helper()
	h := host{proc: t.TempDir()}
	for name, text := range files {
		path := filepath.Join(h.proc, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return h
}

func TestRefused(t *testing.T) {
	userns := map[string]string{"self/uid_map": "0 0 4294967295\n"}
	for _, c := range []struct {
		name  string
		files map[string]string
		err   error
		why   string // "" if it is not about user namespaces
		fix   string
	}{
		{
			"old Debian",
			map[string]string{"sys/kernel/unprivileged_userns_clone": "0\n"},
			unix.EPERM,
			"kernel.unprivileged_userns_clone is 0", "sysctl kernel.unprivileged_userns_clone=1",
		},
		{
			"Debian that allows it",
			map[string]string{"sys/kernel/unprivileged_userns_clone": "1\n", "self/status": "Seccomp:\t2\n"},
			unix.EPERM,
			"a seccomp filter", "RestrictNamespaces=no",
		},
		{
			"Ubuntu",
			map[string]string{"sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"},
			unix.EACCES,
			"apparmor_restrict_unprivileged_userns is 1", "/etc/apparmor.d/jailrun",
		},
		{
			"Ubuntu, not restricted",
			map[string]string{"sys/kernel/apparmor_restrict_unprivileged_userns": "0\n"},
			unix.EPERM,
			"a security module refuses", "dmesg",
		},
		{
			"RHEL 7",
			map[string]string{"sys/user/max_user_namespaces": "0\n"},
			unix.ENOSPC,
			"user.max_user_namespaces is 0", "sysctl user.max_user_namespaces=15000",
		},
		{
			"used up",
			map[string]string{"sys/user/max_user_namespaces": "100\n"},
			unix.ENOSPC,
			"all 100 of user.max_user_namespaces are in use", "sysctl user.max_user_namespaces=400",
		},
		{"no CONFIG_USER_NS", nil, unix.EINVAL, "built without", "CONFIG_USER_NS"},

		{"bad flags", userns, unix.EINVAL, "", ""},
		{"clone3 unknown", userns, unix.ENOSYS, "", ""},
		{"too many processes", nil, unix.EAGAIN, "", ""},
		{"no errno", nil, os.ErrClosed, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := refused(fakeHost(t, c.files), &os.PathError{Op: "fork/exec", Path: "/proc/self/exe", Err: c.err})
			require.ErrorIs(t, err, c.err)
			if c.why == "" {
				require.NotErrorIs(t, err, ErrDisabled)
				return
			}
			require.ErrorIs(t, err, ErrDisabled)
			var d *DisabledError
			require.ErrorAs(t, err, &d)
			assert.Contains(t, d.Why, c.why)
			assert.Contains(t, d.Fix, c.fix)
			assert.NotContains(t, err.Error()+d.Fix, "\n")
		})
	}
}

func roleChroot() error {
	if err := unix.Chroot("/usr"); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if !inChroot() {
		return errors.New("the changed root was not seen")
	}
	return nil
}

func TestInChroot(t *testing.T) {
	assert.False(t, inChroot())
	requireRoot(t, "to chroot")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envRole+"=chroot")
	out, err := cmd.CombinedOutput()
	require.NoErrorf(t, err, "%s", out)
}

func TestExplainStart(t *testing.T) {
	for _, c := range []struct {
		name     string
		files    map[string]string
		err      unix.Errno
		contains string
		disabled bool
	}{
		{"strace -f", map[string]string{"self/status": "Name:\tx\nTracerPid:\t77\n"}, unix.EPERM, "is traced", false},
		{"yama", map[string]string{"self/status": "TracerPid:\t0\n", "sys/kernel/yama/ptrace_scope": "3\n"}, unix.EPERM, "ptrace_scope is 3", false},
		{"usual yama", map[string]string{"sys/kernel/yama/ptrace_scope": "1\n"}, unix.EPERM, "refuses", true},
		{"another errno", map[string]string{"self/status": "TracerPid:\t77\n"}, unix.ENOSPC, "max_user_namespaces", true},
	} {
		err := explainStart(fakeHost(t, c.files), c.err)
		require.ErrorIs(t, err, c.err)
		require.ErrorContains(t, err, c.contains)
		assert.Equal(t, c.disabled, errors.Is(err, ErrDisabled), c.name)
	}
}
