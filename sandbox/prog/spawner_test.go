package prog_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// startHeld starts a minimal program whose job goes on when let is called.
func startHeld(t *testing.T, p *prog.Program) (l launched, let func()) {
	t.Helper()
	hold := p.Slot("hold")
	p.Job = append([]prog.Step{prog.Call("read", unix.SYS_READ, prog.Fd(hold), prog.Data(make([]byte, 8), "word"), prog.Int(8))}, p.Job...)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	l = start(t, p, p.SlotNamed("stdout"), prog.Binding{Slot: hold, Fd: int(r.Fd())})
	r.Close()
	return l, func() { w.Close() }
}

// TestSpawner launches from a process with a big heap.
func TestSpawner(t *testing.T) {
	heap := make([]byte, 2*prog.BigProcess)
	for i := range heap {
		heap[i] = byte(i)
	}
	for range 20 {
		p := minimal("/bin/sh", "-c", "echo $PPID $(id -u); exit 3")
		l, let := startHeld(t, p)
		stat, err := os.ReadFile("/proc/" + itoa(l.Pid) + "/stat")
		require.NoError(t, err)
		let()
		parent := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))[1]
		comm, err := os.ReadFile("/proc/" + parent + "/comm")
		require.NoError(t, err)
		assert.Equal(t, "jailrun-spawner\n", string(comm))
		status, out, r := l.end(t)
		require.Empty(t, status)
		assert.Equal(t, "1 0\n", out)
		require.NotNil(t, r.Exit)
		assert.Equal(t, 3, r.Exit.Status.ExitStatus())
	}
	runtime.KeepAlive(heap)
}

// TestSpawnerStanding: a spawner must not serve with rights that the caller has
// since given up.
func TestSpawnerStanding(t *testing.T) {
	heap := make([]byte, 2*prog.BigProcess)
	for i := range heap {
		heap[i] = byte(i)
	}
	// launch returns the spawner of a launch and its NoNewPrivs.
	launch := func() (parent, line string) {
		p := minimal("/bin/sh", "-c", "grep NoNewPrivs /proc/self/status")
		l, let := startHeld(t, p)
		stat, err := os.ReadFile("/proc/" + itoa(l.Pid) + "/stat")
		require.NoError(t, err)
		let()
		parent = strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))[1]
		status, line, _ := l.end(t)
		require.Empty(t, status)
		return parent, line
	}
	first, line := launch()
	require.Equal(t, "NoNewPrivs:\t0\n", line, "the control")
	again, _ := launch()
	require.Equal(t, first, again, "the control: it is kept")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its bit
		if !assert.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
			return
		}
		other, line := launch()
		assert.NotEqual(t, first, other)
		assert.Equal(t, "NoNewPrivs:\t1\n", line)
	}()
	<-done
	_, line = launch()
	assert.Equal(t, "NoNewPrivs:\t0\n", line)
	runtime.KeepAlive(heap)
}
