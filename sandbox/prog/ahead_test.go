package prog_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// ahead forks the init of a minimal program, which writes its maps ahead.
func ahead(t *testing.T) *prog.Ahead {
	t.Helper()
	if testing.CoverMode() != "" {
		t.Skip("it has none of the program's variables, and coverage is counted in some")
	}
	p := minimal("")
	a, err := prog.ForkAheadAgain(&prog.Program{Flags: p.Flags, Init: p.Init[:9]}, -1)
	require.NoError(t, err)
	return a
}

func TestAhead(t *testing.T) {
	warm := minimal("/bin/true")
	t.Run("poller and spawner", func(t *testing.T) { start(t, warm, warm.SlotNamed("stdout")).end(t) })
	before := openFds(t)
	a := ahead(t)
	pid := a.Pid()
	t.Run("launch", func(t *testing.T) {
		p := minimal("/bin/sh", "-c", "echo pid $$ of $PPID; exit 7")
		l := startBy(t, func(b []prog.Binding) (*prog.Process, error) { return a.Start(p, b) }, p.SlotNamed("stdout"))
		assert.Equal(t, pid, l.Process.Pid)
		status, out, r := l.end(t)
		assert.Empty(t, status)
		assert.Equal(t, "pid 2 of 1\n", out)
		require.NotNil(t, r.Exit)
		assert.True(t, l.Took())
		assert.Equal(t, 7, r.Exit.Status.ExitStatus())
	})
	assert.NoDirExists(t, "/proc/"+strconv.Itoa(pid), "it is reaped")
	assert.Equal(t, before, openFds(t))
}

// TestAheadFails: a step that fails is told by its place in the whole program.
func TestAheadFails(t *testing.T) {
	a := ahead(t)
	p := minimal("/no/such/program")
	l := startBy(t, func(b []prog.Binding) (*prog.Process, error) { return a.Start(p, b) }, p.SlotNamed("stdout"))
	status, _, _ := l.end(t)
	f, err := prog.ParseFailure([]byte(status))
	require.NoError(t, err)
	s, ok := p.Step(f)
	require.True(t, ok)
	assert.Equal(t, "execve", s.Name)
}

// TestAheadFailsBehindTheMessage: an init that fails at one of its first steps
// when it has been given its program can tell nobody; so it is known that it has
// not taken it.
func TestAheadFailsBehindTheMessage(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	p := minimal("/bin/true")
	waits := prog.Call("read", unix.SYS_READ, prog.Int(int(r.Fd())), prog.Data(make([]byte, 1), ""), prog.Int(1)).Want(7).Ahead()
	p.Init = append([]prog.Step{waits}, p.Init...)
	a, err := prog.ForkAheadAgain(&prog.Program{Flags: p.Flags, Init: p.Init[:10]}, -1)
	require.NoError(t, err)
	l := startBy(t, func(b []prog.Binding) (*prog.Process, error) { return a.Start(p, b) }, p.SlotNamed("stdout"))
	_, err = w.WriteString("x")
	require.NoError(t, err)
	w.Close()
	status, _, report := l.end(t)
	assert.Empty(t, status)
	assert.Nil(t, report.Exit)
	assert.False(t, l.Took())
}

// TestAheadWaits: until it has a program init holds nothing of this process but
// its socket, and it goes when it is not wanted any more.
func TestAheadWaits(t *testing.T) {
	secret, err := os.Open("/etc/passwd")
	require.NoError(t, err)
	defer secret.Close()
	before := openFds(t)
	a := ahead(t)
	dir := "/proc/" + strconv.Itoa(a.Pid())
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		fds, err := os.ReadDir(dir + "/fd")
		assert.NoError(c, err)
		assert.Len(c, fds, 4)
		for _, fd := range fds {
			link, err := os.Readlink(dir + "/fd/" + fd.Name())
			assert.NoError(c, err)
			assert.True(c, strings.HasPrefix(link, "socket:"), link)
		}
		maps, err := os.ReadFile(dir + "/maps")
		assert.NoError(c, err)
		assert.NotContains(c, string(maps), "[heap]")
		assert.LessOrEqual(c, strings.Count(string(maps), "\n"), 8, "the program, the table, the stack and what is the kernel's: %s", maps)
		uids, err := os.ReadFile(dir + "/uid_map")
		assert.NoError(c, err)
		assert.Equal(c, []string{"0", strconv.Itoa(os.Getuid()), "1"}, strings.Fields(string(uids)))
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, a.Close())
	assert.NoDirExists(t, dir)
	assert.Equal(t, before, openFds(t))
}

// TestAheadOfNoUse: what it cannot take it does not take, and can be had without.
func TestAheadOfNoUse(t *testing.T) {
	other := minimal("/bin/true")
	other.Flags &^= unix.CLONE_NEWNET
	less, more, changed := minimal("/bin/true"), minimal("/bin/true"), minimal("/bin/true")
	less.Init = less.Init[1:]
	more.AddInit(prog.StageNet, more.Init[0])
	changed.Init[4] = prog.Write(changed.SlotNamed("file"), []byte("0 1 1\n"), "").Ahead()
	for name, p := range map[string]*prog.Program{
		"less to do ahead": less,
		"more to do ahead": more,
		"another map":      changed,
		"other namespaces": other,
		"too long":         minimal("/bin/true", strings.Repeat("x", prog.AheadRoom)),
	} {
		t.Run(name, func(t *testing.T) {
			a := ahead(t)
			_, err := a.Start(p, nil)
			require.ErrorIs(t, err, prog.ErrAhead)
			require.NoError(t, a.Close())
		})
	}
	t.Run("killed", func(t *testing.T) {
		a := ahead(t)
		require.NoError(t, unix.Kill(a.Pid(), unix.SIGKILL))
		zombie(t, a.Pid())
		_, err := a.Start(minimal("/bin/true"), nil)
		require.ErrorIs(t, err, prog.ErrAhead)
		require.NoError(t, a.Close())
	})
	t.Run("a step fails", func(t *testing.T) {
		p := minimal("/bin/true")
		p.Init[0] = prog.Open("/no/such/file", 0, "", 0, p.SlotNamed("file")).Ahead()
		a, err := prog.ForkAheadAgain(&prog.Program{Flags: p.Flags, Init: p.Init[:9]}, -1)
		require.NoError(t, err)
		zombie(t, a.Pid())
		_, err = a.Start(p, nil)
		require.ErrorIs(t, err, prog.ErrAhead)
		require.NoError(t, a.Close())
	})
	t.Run("not forked", func(t *testing.T) {
		a, err := prog.ForkAheadAgain(&prog.Program{Flags: 1 << 63}, -1)
		require.NoError(t, err)
		_, err = a.Start(&prog.Program{Flags: 1 << 63}, nil)
		require.ErrorIs(t, err, prog.ErrAhead)
		require.ErrorIs(t, err, unix.EINVAL)
		require.NoError(t, a.Close())
	})
}

// zombie waits for the end of a child that nobody has reaped.
func zombie(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err == nil && strings.Contains(string(state), ") Z ")
	}, 20*time.Second, time.Millisecond)
}

func openFds(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(fds)
}
