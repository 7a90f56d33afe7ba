package hostdiff

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
)

// roleEnv makes this binary a process that leaves something, says so, and stays
// until its input ends.
const roleEnv = "JAILRUN_HOSTDIFF_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		if err := play(role); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("done")
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	Main(m)
}

func play(role string) error {
	switch role {
	case "key":
		_, err := unix.AddKey("user", "planted", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
		return err
	case "pages": // into a file of the caller's, charged to this process's group
		_, err := unix.Write(3, make([]byte, 1<<20))
		return err
	}
	return nil
}

// player starts this binary in a role; it ends with the test, or when end is
// called.
func player(t *testing.T, role string, change func(*exec.Cmd)) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	if change != nil {
		change(cmd)
	}
	require.NoError(t, cmd.Start())
	end = func() { in.Close(); _ = cmd.Wait() }
	word := make([]byte, 5)
	n, _ := out.Read(word)
	if !assert.Equal(t, "done\n", string(word[:n])) {
		end()
		t.FailNow()
	}
	return cmd.Process.Pid, end
}

// TestPlanted plants one of each kind of thing that an attack could leave or
// change: each is seen, and gone when it is taken away.
func TestPlanted(t *testing.T) {
	lane.Require(t, "userns", "proc")
	home := Here.Dir(t)
	file := filepath.Join(home, "file")
	require.NoError(t, os.WriteFile(file, []byte("one"), 0o600))
	listen := func(network, address string) func(*testing.T) func() {
		return func(t *testing.T) func() {
			l, err := net.Listen(network, address)
			require.NoError(t, err)
			return func() { l.Close() }
		}
	}
	remove := func(path string) func() { return func() { os.RemoveAll(path) } }
	for _, x := range []struct {
		name  string
		root  bool // as an ordinary user there is no place of one's own for it
		want  string
		plant func(t *testing.T) (undo func())
	}{
		{"process", false, "new: process ", func(t *testing.T) func() { _, end := player(t, "none", nil); return end }},
		{"network namespace", false, "new: network net:[", func(t *testing.T) func() {
			_, end := player(t, "none", func(cmd *exec.Cmd) {
				one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET, UidMappings: one}
			})
			return end
		}},
		{"network namespace by descriptor", true, "new: network net:[", func(t *testing.T) func() {
			pid, end := player(t, "none", func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET} })
			f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
			require.NoError(t, err)
			end()
			return func() { f.Close() }
		}},
		{"mount", true, "new: mount ", func(t *testing.T) func() {
			require.NoError(t, unix.Mount("none", home, "tmpfs", 0, ""))
			return func() { require.NoError(t, unix.Unmount(home, 0)) }
		}},
		{"control group", false, "new: group ", func(t *testing.T) func() {
			above, err := own()
			require.NoError(t, err)
			Here.Ran(os.Getpid())
			group := filepath.Join(above, fmt.Sprintf("run-%d-1-2-3", os.Getpid()))
			if err := os.Mkdir(group, 0o755); err != nil {
				t.Skip("no group can be made here:", err)
			}
			return func() { require.NoError(t, os.Remove(group)) }
		}},
		{"UNIX socket", false, "new: socket @jailrun-planted", listen("unix", "@jailrun-planted-"+strconv.Itoa(os.Getpid()))},
		{"TCP socket", false, "new: socket tcp ", listen("tcp4", "127.0.0.1:0")},
		{"segment", false, "new: shm ", func(t *testing.T) func() {
			id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, 0o600|unix.IPC_CREAT)
			require.NoError(t, err)
			return func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) }
		}},
		{"semaphore", false, "new: sem ", ipc(unix.SYS_SEMGET, unix.SYS_SEMCTL, 0, 1, 0o600)},
		{"messages", false, "new: msg ", ipc(unix.SYS_MSGGET, unix.SYS_MSGCTL, 0, 0o600, 0)},
		{"message queue", true, "new: mqueue planted", func(t *testing.T) func() {
			path := filepath.Join(Here.queues(), "planted")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Skip("this kernel has no message queues:", err)
			}
			return remove(path)
		}},
		{"key", true, "keys of ", func(t *testing.T) func() {
			_, end := player(t, "key", func(cmd *exec.Cmd) { Here.As(cmd, Self); cmd.Env = append(cmd.Env, roleEnv+"=key") })
			return end
		}},
		{"file", false, "new: file ", func(t *testing.T) func() {
			path := filepath.Join(home, "left")
			require.NoError(t, os.WriteFile(path, nil, 0o600))
			return remove(path)
		}},
		{"temporary file", true, "new: file /tmp/", func(t *testing.T) func() {
			f, err := os.CreateTemp("/tmp", "planted-")
			require.NoError(t, err)
			require.NoError(t, f.Chown(Here.UID, Here.UID))
			f.Close()
			return remove(f.Name())
		}},
		{"mode", false, "changed: file " + file, func(t *testing.T) func() {
			require.NoError(t, os.Chmod(file, 0o644))
			return nil
		}},
		{"content", false, "changed: file " + file, func(t *testing.T) func() {
			require.NoError(t, os.WriteFile(file, []byte("two"), 0o600))
			return nil
		}},
		{"lower layer", true, "changed: content of /usr/bin/env", func(t *testing.T) func() {
			require.NoError(t, unix.Mount(file, "/usr/bin/env", "", unix.MS_BIND, ""))
			return func() { require.NoError(t, unix.Unmount("/usr/bin/env", 0)) }
		}},
		{"jailrun's program", true, "changed: content of " + Here.Bin + "/jailrun", func(t *testing.T) func() {
			require.NoError(t, unix.Mount(file, Here.Bin+"/jailrun", "", unix.MS_BIND, ""))
			return func() { require.NoError(t, unix.Unmount(Here.Bin+"/jailrun", 0)) }
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			if x.root && !Here.Root() {
				t.Skip("only root's tests have a host to themselves for it")
			}
			before := Here.Take(t)
			Here.AssertSame(t, before)
			undo := x.plant(t)
			seen := strings.Join(Diff(before, Here.Take(t)), "\n")
			assert.Contains(t, seen, x.want)
			if undo != nil { // what has changed once stays changed
				undo()
				Here.AssertSame(t, before)
			}
		})
	}
}

// ipc makes a System V object by a call, and removes it by another.
func ipc(make, control, key, a, b uintptr) func(*testing.T) func() {
	return func(t *testing.T) func() {
		id, _, errno := unix.Syscall(make, key, a, b)
		require.Zero(t, errno)
		return func() { _, _, _ = unix.Syscall(control, id, 0, unix.IPC_RMID) }
	}
}

// TestDying holds memory of a removed group: the group is dying until the
// memory goes.
func TestDying(t *testing.T) {
	lane.Require(t, "cgroup2", "userns", "proc")
	Here.Run(t, Self, []string{"--mem", "64m"}, "/attack", "abuse", "see") // which makes the caller's group one that has others below it
	above, err := own()
	require.NoError(t, err)
	group := filepath.Join(above, "planted")
	require.NoError(t, os.Mkdir(group, 0o755))
	before, ok := Dying()
	require.True(t, ok)
	fd, err := unix.MemfdCreate("pages", unix.MFD_CLOEXEC)
	require.NoError(t, err)
	pages := os.NewFile(uintptr(fd), "pages")
	dir, err := unix.Open(group, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	_, end := player(t, "pages", func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{pages}
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: dir}
	})
	end()
	require.NoError(t, unix.Close(dir))
	require.NoError(t, os.Remove(group))
	dying, _ := Dying()
	assert.Greater(t, dying, before, "seen")
	pages.Close()
	assert.NoError(t, buried(before), "and gone")
}
