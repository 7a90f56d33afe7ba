package sandbox_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// TestLinksLeadNowhere: no symbolic link in what the user gives leads a target
// of ours to the host, neither by the place where the host's root once waited
// nor by /proc. (Rows A12, A15, A19.)
func TestLinksLeadNowhere(t *testing.T) {
	lane.Require(t, "tmpfs-upper")
	victim := t.TempDir()
	require.NoError(t, os.Chmod(victim, 0o700))
	for _, to := range []string{"/.old" + victim, victim, "/proc/1/root" + victim, "/proc/self/fd/4", "../../../../../.." + victim} {
		dir := t.TempDir()
		require.NoError(t, os.Symlink(to, filepath.Join(dir, "link")))
		for _, mode := range []sandbox.CWD{sandbox.CWDCopy, sandbox.CWDWritable, sandbox.CWDReadOnly} {
			c := sandbox.Command("true")
			c.Dir, c.CWD = dir, mode
			c.Files = []sandbox.File{{Target: "/work/link/planted", Content: []byte("x")}}
			c.Tmpfs = []sandbox.Tmpfs{{Target: "/work/link/t"}}
			_, _ = c.Run(t.Context()) // an error, or a file inside
		}
		root := t.TempDir()
		for _, name := range []string{"etc", "tmp", "dev", "proc", "home", "var"} {
			require.NoError(t, os.Symlink(to, filepath.Join(root, name)))
		}
		c := sandbox.Command("/bin/true")
		c.Rootfs, c.CWD = root, sandbox.CWDNone
		_, err := c.Run(t.Context())
		require.Error(t, err)

		left, err := os.ReadDir(victim)
		require.NoError(t, err)
		assert.Empty(t, left, to)
		st, err := os.Stat(victim)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o700), st.Mode().Perm(), to)
	}
}

// TestBindsBelowTheCurrentDirectory: what is put below /work is not hidden by it.
func TestBindsBelowTheCurrentDirectory(t *testing.T) {
	lane.Require(t, "tmpfs-upper")
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".git"), 0o755))
	config := filepath.Join(dir, ".git", "config")
	require.NoError(t, os.WriteFile(config, []byte("good\n"), 0o644))
	res, out, _ := shell(t, "echo bad > .git/config; cat .git/config; echo x > sub/f; ls", func(c *sandbox.Cmd) {
		c.Dir, c.CWD = dir, sandbox.CWDWritable
		c.Binds = []sandbox.Bind{{Source: ".git", Target: "/work/.git"}}
		c.Tmpfs = []sandbox.Tmpfs{{Target: "/work/sub"}}
	})
	assert.Equal(t, sandbox.Exited, res.Verdict)
	assert.Equal(t, "good\nsub\n", out)
	text, err := os.ReadFile(config)
	require.NoError(t, err)
	assert.Equal(t, "good\n", string(text))
}

// TestSocketsAndFIFOs is row A105: a read-only directory does not lend the
// host's sockets and FIFOs, unless that is asked for.
func TestSocketsAndFIFOs(t *testing.T) {
	lane.Require(t, "tmpfs-upper")
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666))
	r, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	defer r.Close()
	script := `import socket,os,sys
s=socket.socket(socket.AF_UNIX)
for name,f in ("socket",lambda: s.connect(sys.argv[1]+"/sock")),("fifo",lambda: os.open(sys.argv[1]+"/fifo",os.O_WRONLY|os.O_NONBLOCK)):
    try: f(); print(name,"open")
    except OSError: print(name,"closed")
`
	try := func(at string, change func(c *sandbox.Cmd)) string {
		c := sandbox.Command("python3", "-c", script, at)
		c.CWD = sandbox.CWDNone
		change(c)
		out, res, err := c.Output(t.Context())
		require.NoError(t, err)
		require.Equal(t, sandbox.Exited, res.Verdict)
		return string(out)
	}
	const closed, open = "socket closed\nfifo closed\n", "socket open\nfifo open\n"
	assert.Equal(t, closed, try("/work", func(c *sandbox.Cmd) { c.Dir, c.CWD = dir, sandbox.CWDReadOnly }))
	assert.Equal(t, closed, try("/work", func(c *sandbox.Cmd) { c.Dir, c.CWD = dir, sandbox.CWDCopy }))
	assert.Equal(t, closed, try("/in", func(c *sandbox.Cmd) { c.Binds = []sandbox.Bind{{Source: dir, Target: "/in"}} }))
	assert.Equal(t, open, try("/in", func(c *sandbox.Cmd) { c.Binds = []sandbox.Bind{{Source: dir, Target: "/in", Sockets: true}} }), "the control")
}

// TestSignalQueue: what a job queues for init is not charged to the caller (A47).
func TestSignalQueue(t *testing.T) {
	c := sandbox.Command("python3", "-c", `import ctypes,os
libc=ctypes.CDLL(None,use_errno=True)
info=(ctypes.c_int*32)(40,0,-1)
n=0
while n<5000 and libc.syscall(129,1,40,info)==0: n+=1
print(n)`)
	c.CWD = sandbox.CWDNone
	out, _, err := c.Output(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "0\n", string(out))
}

// hoards makes POSIX queues and puts descriptors in flight until refused, says
// how many and why, and holds them until its standard input ends.
func hoards([]string) {
	queues := 0
	for ; queues < 1000; queues++ {
		name, _ := unix.BytePtrFromString("q" + strconv.Itoa(queues))
		if _, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_RDWR|unix.O_CREAT, 0o600, 0, 0, 0); errno != 0 {
			break
		}
	}
	rights := unix.UnixRights(slices.Repeat([]int{0}, 253)...)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	for err == nil {
		err = unix.Sendmsg(pair[0], []byte{0}, rights, nil, 0)
	}
	fmt.Println(queues, errors.Is(err, unix.ETOOMANYREFS))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func init() { jobs["hoards"] = hoards }

// TestQuotas: what the kernel counts by user and a job may use up is not all
// that the caller and his other jobs have (A47).
func TestQuotas(t *testing.T) {
	few := uint64(64)
	c := asJob(copyHelper(t), "hoards")
	c.Limits.Rlimits.NoFile = &few
	c.Seccomp, c.Unsafe = "none", []string{sandbox.UnsafeNoSeccomp} // the wall behind the filter
	held, let := io.Pipe()
	said, out := io.Pipe()
	c.Stdin, c.Stdout = held, out
	ended := make(chan error)
	go func() {
		_, err := c.Run(t.Context())
		ended <- err
	}()
	var queues int
	var full bool
	_, err := fmt.Fscanln(said, &queues, &full)
	require.NoError(t, err)
	assert.Zero(t, queues)
	assert.True(t, full, "the control: as many as its own limit allows are in flight")

	res, text, errs := shell(t, "ulimit -n; mount -t proc p /tmp", func(c *sandbox.Cmd) { c.Limits.Rlimits.NoFile = &few })
	assert.Equal(t, "64\n", text, errs)
	assert.NotEmpty(t, res.Denied, "its listener arrived")
	require.NoError(t, let.Close())
	require.NoError(t, <-ended)
}

// TestDirectoryRoot runs in a root of the user's.
func TestDirectoryRoot(t *testing.T) {
	lane.Require(t, "tmpfs-upper")
	root := t.TempDir()
	for _, d := range []string{"bin", "usr", "lib", "lib64"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, d), 0o755))
	}
	res, out, errs := shell(t, "echo x > /new; ls /; cat /etc/hostname; echo y > /dev/null; rm /mark && echo removed", func(c *sandbox.Cmd) {
		require.NoError(t, os.WriteFile(filepath.Join(root, "mark"), nil, 0o644))
		c.Rootfs = root
		for _, d := range []string{"/bin", "/usr", "/lib", "/lib64"} {
			real, err := filepath.EvalSymlinks(d)
			require.NoError(t, err)
			c.Binds = append(c.Binds, sandbox.Bind{Source: real, Target: d})
		}
	})
	assert.Equal(t, sandbox.Exited, res.Verdict, errs)
	assert.Equal(t, "bin\ndev\netc\nhome\nlib\nlib64\nmark\nnew\nproc\ntmp\nusr\nvar\njail\nremoved\n", out, errs)
	assert.FileExists(t, filepath.Join(root, "mark"))
	assert.NoFileExists(t, filepath.Join(root, "new"))
}
