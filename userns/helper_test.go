package userns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

func TestFindHelper(t *testing.T) {
	requireRoot(t, "to make setuid root programs")
	if os.Getenv(envArgs) == "" { // for the nosuid mount
		again(t, &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}, envArgs+"=inside")
		return
	}
	dir := t.TempDir()
	nosuid := filepath.Join(dir, "nosuid")
	require.NoError(t, os.Mkdir(nosuid, 0o755))
	require.NoError(t, unix.Mount("tmpfs", nosuid, "tmpfs", unix.MS_NOSUID, "mode=755"))
	t.Cleanup(func() { _ = unix.Unmount(nosuid, unix.MNT_DETACH) })

	make := func(name string, mode uint32, uid int) string {
		path := filepath.Join(dir, name, "newuidmap")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o755))
		require.NoError(t, os.Chown(path, uid, 0)) // clears setuid: before chmod
		require.NoError(t, unix.Chmod(path, mode))
		return filepath.Dir(path)
	}
	good := make("good", 0o4755, 0)
	plain := make("plain", 0o755, 0)
	foreign := make("foreign", 0o4755, testID)
	writable := make("writable", 0o4777, 0)
	make("nosuid", 0o4755, 0)
	caps := make("caps", 0o755, 0)
	// vfs_cap_data of revision 2: effective, permitted cap_setuid.
	require.NoError(t, unix.Setxattr(caps+"/newuidmap", "security.capability",
		[]byte{1, 0, 0, 2, 1 << unix.CAP_SETUID, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0))
	notFile := filepath.Join(dir, "notfile")
	require.NoError(t, os.MkdirAll(notFile+"/newuidmap", 0o755))

	for _, c := range []struct {
		dirs []string
		path string
		err  string
	}{
		{[]string{good}, good, ""},
		{[]string{caps}, caps, ""},
		{[]string{"/nonexistent", plain, good}, good, ""},
		{[]string{"/nonexistent"}, "", "newuidmap is not in /nonexistent"},
		{nil, "", "newuidmap is not in"},
		{[]string{"/nonexistent", plain}, "", plain + "/newuidmap is neither setuid root nor has file capabilities"},
		{[]string{foreign}, "", "belongs to uid 12345 instead of root"},
		{[]string{writable}, "", "may be changed by others than root (mode 4777)"},
		{[]string{nosuid}, "", "is on a file system mounted nosuid"},
		{[]string{notFile}, "", "is not a regular file"},
	} {
		path, err := findHelper("newuidmap", c.dirs)
		if c.err != "" {
			require.ErrorIs(t, err, ErrNoHelper)
			require.ErrorContains(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, c.path+"/newuidmap", path)
	}
}

// roleNoNewPrivs sets no_new_privs and goes on with the tests.
func roleNoNewPrivs() error {
	defer lockThread()()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), envArgs+"=set"))
}

func TestNoNewPrivs(t *testing.T) {
	sub := idmap.Map{{Inside: 0, Outside: 100000, Count: 2}}
	if os.Getenv(envArgs) == "" {
		if !asUser(t) {
			return
		}
		// Control: without it the same maps can be prepared.
		_, err := Prepare(sub, sub)
		require.NoError(t, err)
		again(t, nil, envRole+"=nnp")
		return
	}
	_, err := Prepare(sub, sub)
	require.ErrorIs(t, err, ErrNoNewPrivs)
	require.ErrorIs(t, err, ErrNoHelper)
	_, err = Prepare(own())
	require.NoError(t, err, "self needs no helper")
	uid, gid := own()
	ns, err := NewNamespace(t.Context(), uid, gid)
	require.NoError(t, err)
	require.NoError(t, ns.Close())
	rows := byName(probes(t.Context(), thisHost, Files{}, helperDirs))
	assert.Equal(t, No, rows[ProbeNewPrivs].Answer)
	assert.Equal(t, newPrivsFix, rows[ProbeNewuidmap].Fix)
}

func TestHelperWait(t *testing.T) {
	run := func(ctx context.Context, script string) error {
		h, err := startHelper("/bin/sh", []string{"-c", script})
		require.NoError(t, err)
		return h.wait(ctx)
	}
	t.Run("success is silence", func(t *testing.T) {
		require.NoError(t, run(t.Context(), "echo hello"))
	})
	t.Run("nothing of the caller's", func(t *testing.T) {
		t.Setenv("SECRET", "x")
		err := run(t.Context(), `echo "$SECRET,$LC_ALL,$PWD,$(cat)"; exit 1`)
		require.ErrorContains(t, err, `",C,/,"`)
	})
	t.Run("control bytes", func(t *testing.T) {
		err := run(t.Context(), `printf '\033]0;x\007\nb\n' >&2; exit 3`)
		var he *HelperError
		require.ErrorAs(t, err, &he)
		assert.Equal(t, "exit status 3", he.Status)
		assert.Equal(t, `"\x1b]0;x\a\nb"`, he.Output)
		require.NoError(t, errors.Unwrap(err))
	})
	t.Run("more than a pipe holds", func(t *testing.T) {
		err := run(t.Context(), "head -c 1000000 /dev/zero; exit 1")
		var he *HelperError
		require.ErrorAs(t, err, &he)
		assert.Less(t, len(he.Output), 4*512+10)
	})
	t.Run("never ends", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := fmt.Errorf("enough")
		cancel(cause)
		err := run(ctx, "exec sleep 1000")
		require.ErrorIs(t, err, cause)
		require.ErrorContains(t, err, "signal: killed: enough")
	})
	t.Run("cannot be started", func(t *testing.T) {
		_, err := startHelper("/nonexistent", nil)
		require.ErrorIs(t, err, unix.ENOENT)
	})
}
