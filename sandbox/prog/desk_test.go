package prog_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// TestDesk has calls made in a process that has another root than ours: with
// data in and out, descriptors both ways, an errno, and on to the next step.
func TestDesk(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("inside"), 0o600))
	p := &prog.Program{}
	out := p.Slot("stdout")
	p.AddInit(prog.StageRoot,
		prog.KeepOnly(prog.SlotCtl, out),
		prog.Chdir(dir),
		prog.Serve(),
		prog.Write(out, []byte("went on"), "went on"),
		prog.End())
	l := start(t, p, out)
	d := prog.Desk{Ctl: int(l.ctl.Fd())}

	cwd := make([]byte, 300)
	n, err := d.Call(&prog.Request{Name: "getcwd", Nr: unix.SYS_GETCWD, Fd: -1, Args: []prog.Word{prog.Out(cwd), prog.Num(len(cwd))}})
	require.NoError(t, err)
	assert.Equal(t, dir, string(cwd[:n-1]))

	here, err := d.Call(&prog.Request{
		Name: "openat", Nr: unix.SYS_OPENAT, Fd: -1, Gives: true,
		Args: []prog.Word{prog.Num(unix.AT_FDCWD), prog.Text("."), prog.Num(unix.O_PATH), prog.Num(0)},
	})
	require.NoError(t, err)
	defer unix.Close(here)
	fd, err := d.Call(&prog.Request{
		Name: "openat", Nr: unix.SYS_OPENAT, Fd: here, Gives: true,
		Args: []prog.Word{prog.Text("f"), prog.Num(unix.O_RDONLY), prog.Num(0)},
	})
	require.NoError(t, err)
	text, err := io.ReadAll(os.NewFile(uintptr(fd), "f"))
	require.NoError(t, err)
	assert.Equal(t, "inside", string(text))

	_, err = d.Call(&prog.Request{Name: "mkdirat", Nr: unix.SYS_MKDIRAT, Fd: here, Args: []prog.Word{prog.Text("f"), prog.Num(0o755)}})
	require.ErrorIs(t, err, unix.EEXIST)
	_, err = d.Call(&prog.Request{Name: "mkdirat", Nr: unix.SYS_MKDIRAT, Fd: -1, Args: []prog.Word{prog.Num(unix.AT_FDCWD), prog.Bytes(make([]byte, prog.DeskData+1))}})
	require.ErrorIs(t, err, unix.ENAMETOOLONG)

	require.NoError(t, d.Done())
	rest, err := io.ReadAll(l.out)
	require.NoError(t, err)
	assert.Equal(t, "went on", string(rest))
	_, err = d.Call(&prog.Request{Name: "getpid", Nr: unix.SYS_GETPID, Fd: -1})
	require.ErrorIs(t, err, prog.ErrDesk)
}

func BenchmarkDesk(b *testing.B) {
	p := &prog.Program{}
	p.AddInit(prog.StageRoot, prog.KeepOnly(prog.SlotCtl), prog.Serve(), prog.End())
	ctl, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(b, err)
	proc, err := p.Start([]prog.Binding{{Slot: prog.SlotCtl, Fd: ctl[1]}})
	require.NoError(b, err)
	unix.Close(ctl[1])
	d := prog.Desk{Ctl: ctl[0]}
	for b.Loop() {
		fd, err := d.Call(&prog.Request{
			Name: "openat", Nr: unix.SYS_OPENAT, Fd: -1, Gives: true,
			Args: []prog.Word{prog.Num(unix.AT_FDCWD), prog.Text("/"), prog.Num(unix.O_PATH), prog.Num(0)},
		})
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
	unix.Close(ctl[0])
	proc.PidFd.Close()
	_ = proc.Release()
}
