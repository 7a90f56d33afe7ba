package prog_test

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"
)

func TestMain(m *testing.M) { rootless.Main(m) }

const allNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET

// minimal is a launch without a root of its own: maps, fork, scrub, exec.
func minimal(argv ...string) *prog.Program {
	p := &prog.Program{Flags: allNamespaces, FlagsText: "…"}
	f := p.Slot("file")
	out := p.Slot("stdout")
	for _, w := range []struct{ path, text string }{
		{"/proc/self/setgroups", "deny"},
		{"/proc/self/uid_map", "0 " + strconv.Itoa(os.Getuid()) + " 1\n"},
		{"/proc/self/gid_map", "0 " + strconv.Itoa(os.Getgid()) + " 1\n"},
	} {
		p.AddInit(prog.StageIdentity, prog.Open(w.path, unix.O_WRONLY, "O_WRONLY", 0, f).Ahead(),
			prog.Write(f, []byte(w.text), w.text).Ahead(), prog.Close(f).Ahead())
	}
	mask := make([]byte, 8)
	mask[2] = 1 // SIGCHLD is 17: bit 16
	p.AddInit(prog.StageFork,
		prog.Call("signalfd4", unix.SYS_SIGNALFD4, prog.Int(-1), prog.Data(mask, "{SIGCHLD}"), prog.Int(8), prog.Int(unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)).Save(prog.SlotSignals),
		prog.Call("eventfd2", unix.SYS_EVENTFD2, prog.Int(0), prog.Int(unix.EFD_CLOEXEC)).Save(prog.SlotGate),
		prog.Scrub(),
		prog.Fork(),
	)
	p.AddInit(prog.StageScrub,
		prog.Write(prog.SlotGate, []byte{1, 0, 0, 0, 0, 0, 0, 0}, "1"),
		prog.KeepOnly(prog.SlotCtl, prog.SlotSignals),
		prog.Reap())
	buf := make([]byte, 8)
	p.AddJob(prog.StageExec,
		prog.Call("read", unix.SYS_READ, prog.Fd(prog.SlotGate), prog.Data(buf, "gate"), prog.Int(8)).Want(8),
		prog.Dup(out, 1, 0, "0"),
		prog.Call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, prog.Int(unix.SIG_SETMASK), prog.Data(buf, "{}"), prog.Nil(), prog.Int(8)),
		prog.Call("execve", unix.SYS_EXECVE, prog.Str(argv[0]), prog.Strings(argv, ""), prog.Strings([]string{"A=b"}, "")),
	)
	return p
}

type launched struct {
	*prog.Process
	status, ctl, out *os.File
}

func start(t *testing.T, p *prog.Program, out prog.Slot, more ...prog.Binding) launched {
	t.Helper()
	return startBy(t, p.Start, out, more...)
}

func startBy(t *testing.T, by func([]prog.Binding) (*prog.Process, error), out prog.Slot, more ...prog.Binding) launched {
	t.Helper()
	sr, sw, err := os.Pipe()
	require.NoError(t, err)
	or, ow, err := os.Pipe()
	require.NoError(t, err)
	ctl, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	proc, err := by(append(more,
		prog.Binding{Slot: prog.SlotStatus, Fd: int(sw.Fd())}, prog.Binding{Slot: prog.SlotCtl, Fd: ctl[1]}, prog.Binding{Slot: out, Fd: int(ow.Fd())}))
	require.NoError(t, err)
	sw.Close()
	ow.Close()
	unix.Close(ctl[1])
	l := launched{proc, sr, os.NewFile(uintptr(ctl[0]), "ctl"), or}
	t.Cleanup(func() { l.status.Close(); l.out.Close(); l.ctl.Close(); l.PidFd.Close(); _ = l.Release() })
	return l
}

func itoa(n int) string { return strconv.Itoa(n) }

func (l launched) end(t *testing.T) (status, out string, r prog.Report) {
	t.Helper()
	s, err := io.ReadAll(l.status)
	require.NoError(t, err)
	o, err := io.ReadAll(l.out)
	require.NoError(t, err)
	buf := make([]byte, 1024)
	n, err := l.ctl.Read(buf)
	if err == nil {
		r, err = prog.ParseReport(buf[:n])
		require.NoError(t, err)
	}
	var si unix.Siginfo
	require.True(t, lane.Ended(t, int(l.PidFd.Fd())), "the init is still there")
	if err := unix.Waitid(unix.P_PIDFD, int(l.PidFd.Fd()), &si, unix.WEXITED|unix.WALL, nil); err != nil {
		require.ErrorIs(t, err, unix.ECHILD, "a child of the spawner")
	}
	return string(s), string(o), r
}

func TestLaunch(t *testing.T) {
	require.NotZero(t, os.Geteuid())
	p := minimal("/bin/sh", "-c", "echo pid $$ uid $(id -u); exit 7")
	l := start(t, p, p.SlotNamed("stdout"))
	status, out, r := l.end(t)
	require.Empty(t, status)
	require.Equal(t, "pid 2 uid 0\n", out)
	require.NotNil(t, r.Exit)
	require.Equal(t, 7, r.Exit.Status.ExitStatus())
}

func TestExecFails(t *testing.T) {
	p := minimal("/no/such/program")
	l := start(t, p, p.SlotNamed("stdout"))
	status, _, _ := l.end(t)
	f, err := prog.ParseFailure([]byte(status))
	require.NoError(t, err)
	require.Equal(t, unix.ENOENT, f.Errno)
	require.True(t, f.InJob)
	s, ok := p.Step(f)
	require.True(t, ok)
	require.Equal(t, "execve", s.Name)
	var b bytes.Buffer
	require.NoError(t, p.Print(&b, false))
	require.Contains(t, b.String(), "no/such/program")
}

func TestMany(t *testing.T) {
	for range 200 {
		p := minimal("/bin/true")
		l := start(t, p, p.SlotNamed("stdout"))
		status, _, r := l.end(t)
		require.Empty(t, status)
		require.Zero(t, r.Exit.Status)
	}
}

// TestLateSteps: a job that waits takes the steps that it is given then, and
// ends when nobody gives it any.
func TestLateSteps(t *testing.T) {
	for _, c := range []struct {
		name string
		path string
		give bool
	}{{"given", "/bin/sh", true}, {"failing", "/no/such/program", true}, {"left", "", false}} {
		t.Run(c.name, func(t *testing.T) {
			p := minimal("/unused")
			in := p.Slot("go")
			p.Room = 4096
			p.Job[len(p.Job)-1] = prog.Await(in)
			r, w, err := os.Pipe()
			require.NoError(t, err)
			l := start(t, p, p.SlotNamed("stdout"), prog.Binding{Slot: in, Fd: int(r.Fd())})
			r.Close()
			argv := []string{"sh", "-c", "echo $0 $X", "late"}
			steps := []prog.Step{prog.Call("execve", unix.SYS_EXECVE, prog.Str(c.path), prog.Strings(argv, ""), prog.Strings([]string{"X=y"}, ""))}
			if c.give {
				require.ErrorIs(t, l.Give([]prog.Step{prog.Chdir(strings.Repeat("/", 10000))}), prog.ErrNoRoom)
				require.NoError(t, l.Give(steps))
				_, err = w.Write([]byte{1})
				require.NoError(t, err)
			}
			w.Close()
			status, out, report := l.end(t)
			require.NotNil(t, report.Exit)
			switch c.name {
			case "given":
				require.Empty(t, status)
				require.Equal(t, "late y\n", out)
			case "failing":
				f, err := prog.ParseFailure([]byte(status))
				require.NoError(t, err)
				require.Equal(t, prog.Failure{InJob: true, Index: len(p.Job), Errno: unix.ENOENT}, f)
			case "left":
				require.Equal(t, 1, report.Exit.Status.ExitStatus())
				require.Empty(t, out)
			}
		})
	}
}

// TestReceiveFds: a process gets descriptors that were not there when it was
// forked, and ends when nobody sends them.
func TestReceiveFds(t *testing.T) {
	for _, c := range []struct {
		name string
		send int // descriptors, or -1 for an end of file
	}{{"both", 2}, {"one is missing", 1}, {"nobody sends", -1}} {
		t.Run(c.name, func(t *testing.T) {
			p := &prog.Program{}
			out, a, b := p.Slot("stdout"), p.Slot("a"), p.Slot("b")
			p.AddInit(prog.StageExec,
				prog.KeepOnly(prog.SlotStatus, prog.SlotCtl, out), prog.Scrub(), prog.ReceiveFds(a, b),
				prog.Write(a, []byte("a"), "a"), prog.Write(b, []byte("b"), "b"), prog.End())
			l := start(t, p, out)
			var ends [2]*os.File
			var fds []int
			for i := range ends {
				r, w, err := os.Pipe()
				require.NoError(t, err)
				defer w.Close()
				ends[i], fds = r, append(fds, int(w.Fd()))
			}
			if c.send >= 0 {
				require.NoError(t, unix.Sendmsg(int(l.ctl.Fd()), []byte{0}, unix.UnixRights(fds[:c.send]...), nil, 0))
			} else {
				l.ctl.Close()
			}
			status, _, _ := l.end(t)
			if c.send == 2 {
				require.Empty(t, status)
				for i, want := range []string{"a", "b"} {
					got := make([]byte, 8)
					n, err := ends[i].Read(got)
					require.NoError(t, err)
					require.Equal(t, want, string(got[:n]))
				}
				return
			}
			if c.send == 1 {
				f, err := prog.ParseFailure([]byte(status))
				require.NoError(t, err)
				require.Equal(t, unix.EBADMSG, f.Errno)
				return
			}
			require.Empty(t, status)
		})
	}
}
