package userns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

const (
	diskUID, diskGID = 1234, 2345
	block            = 0x70000100
)

// tree makes a directory of diskUID that only it may enter, with a file in it.
func tree(t *testing.T, dir string) string {
	t.Helper()
	d := filepath.Join(dir, "project")
	require.NoError(t, os.Mkdir(d, 0o700))
	require.NoError(t, os.WriteFile(d+"/file", []byte("content"), 0o600))
	for _, p := range []string{d, d + "/file"} {
		require.NoError(t, os.Chown(p, diskUID, diskGID))
	}
	return d
}

// skipIfUnable skips where a file system cannot be expected to show other owners:
// tmpfs learned it with Linux 6.3, the host's files in a test machine never.
func skipIfUnable(t *testing.T, path string, err error) {
	t.Helper()
	if !errors.Is(err, ErrNoIDMap) {
		return
	}
	var fs unix.Statfs_t
	require.NoError(t, unix.Statfs(path, &fs))
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
	default:
		t.Skipf("the file system of %s (type %#x) cannot show other owners on this kernel", path, fs.Type)
	}
}

func owner(t *testing.T, dirfd int, path string) [2]uint32 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Fstatat(dirfd, path, &st, unix.AT_SYMLINK_NOFOLLOW))
	return [2]uint32{st.Uid, st.Gid}
}

// roleMount is a job in a namespace with its own mounts: it attaches descriptor 3
// over the directory in its arguments, reads the file and makes another.
func roleMount() error {
	at := os.Getenv(envArgs)
	if err := unix.MoveMount(3, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	b, err := os.ReadFile(at + "/file")
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(at, &st); err != nil {
		return err
	}
	fmt.Printf("%s %d:%d\n", b, st.Uid, st.Gid)
	if err := os.WriteFile(at+"/new", []byte("made inside"), 0o600); err != nil {
		return err
	}
	if err := os.Chown(at+"/new", 5, 5); err != nil {
		fmt.Println("chown to another id:", errors.Unwrap(err))
	}
	return nil
}

// asJob runs roleMount as root of a namespace that has the block.
func asJob(t *testing.T, mount *os.File, at string) (stdout, stderr string, err error) {
	t.Helper()
	ids := []syscall.SysProcIDMap{{HostID: block, Size: 15}}
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), envRole+"=mount", envArgs+"="+at)
	cmd.ExtraFiles = []*os.File{mount}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Unshareflags: unix.CLONE_NEWNS,
		UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{},
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func TestMappedTree(t *testing.T) {
	requireRoot(t, "for id-mapped mounts")
	if os.Getenv(envArgs) == "" {
		again(t, &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}, envArgs+"=inside")
		return
	}
	ns, err := NewNamespace(t.Context(), idmap.Self(diskUID, block), idmap.Self(diskGID, block))
	require.NoError(t, err)
	defer ns.Close()

	for _, fs := range []string{"disk", "tmpfs"} {
		t.Run(fs, func(t *testing.T) {
			base := t.TempDir()
			require.NoError(t, os.Chmod(base, 0o755))
			require.NoError(t, os.Chmod(filepath.Dir(base), 0o755))
			if fs == "tmpfs" {
				require.NoError(t, unix.Mount("tmpfs", base, "tmpfs", 0, "mode=755"))
				defer func() { require.NoError(t, unix.Unmount(base, unix.MNT_DETACH)) }()
			}
			dir, at := tree(t, base), filepath.Join(base, "at")
			require.NoError(t, os.Mkdir(at, 0o755))

			// Control: with the mounts as they are the job is kept out.
			fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			require.NoError(t, err)
			plain := os.NewFile(uintptr(fd), dir)
			_, said, err := asJob(t, plain, at)
			require.Error(t, err)
			require.Contains(t, said, "permission denied")
			require.NoError(t, plain.Close())

			mount, err := MappedTree(unix.AT_FDCWD, dir, ns)
			skipIfUnable(t, dir, err)
			require.NoError(t, err)
			defer mount.Close()
			assert.Equal(t, [2]uint32{block, block}, owner(t, int(mount.Fd()), "file"))
			assert.Equal(t, [2]uint32{diskUID, diskGID}, owner(t, unix.AT_FDCWD, dir+"/file"))

			out, said, err := asJob(t, mount, at)
			require.NoErrorf(t, err, "%s", said)
			assert.Equal(t, "content 0:0\nchown to another id: value too large for defined data type\n", out)
			assert.Equal(t, [2]uint32{diskUID, diskGID}, owner(t, unix.AT_FDCWD, dir+"/new"))
			assert.NoFileExists(t, at+"/file", "nothing was mounted outside")
		})
	}
	t.Run("by descriptor, with mounts below", func(t *testing.T) {
		base := t.TempDir()
		dir := tree(t, base)
		require.NoError(t, os.Mkdir(dir+"/below", 0o755))
		require.NoError(t, unix.Mount("tmpfs", dir+"/below", "tmpfs", 0, "mode=755,uid=1234,gid=2345"))
		defer func() { require.NoError(t, unix.Unmount(dir+"/below", unix.MNT_DETACH)) }()
		d, err := os.Open(dir)
		require.NoError(t, err)
		defer d.Close()
		mount, err := MappedTree(int(d.Fd()), "", ns)
		skipIfUnable(t, dir+"/below", err)
		require.NoError(t, err)
		defer mount.Close()
		assert.Equal(t, [2]uint32{block, block}, owner(t, int(mount.Fd()), "below"))

		_, err = MappedTree(int(mount.Fd()), "", ns)
		require.Error(t, err, "a tree that is mapped already")
	})
	t.Run("a file system that cannot", func(t *testing.T) {
		_, err := MappedTree(unix.AT_FDCWD, "/proc", ns)
		require.ErrorIs(t, err, ErrNoIDMap)
		require.ErrorIs(t, err, unix.EINVAL)
	})
	t.Run("missing", func(t *testing.T) {
		_, err := MappedTree(unix.AT_FDCWD, "/nonexistent", ns)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.NotErrorIs(t, err, ErrNoIDMap)
	})
}

func TestMappedTreeNeedsRoot(t *testing.T) {
	if !asUser(t) {
		return
	}
	uid, gid := own()
	ns, err := NewNamespace(t.Context(), uid, gid)
	require.NoError(t, err)
	defer ns.Close()
	_, err = MappedTree(unix.AT_FDCWD, "/", ns)
	require.ErrorIs(t, err, unix.EPERM)
}
