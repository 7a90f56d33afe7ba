package prog_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// TestSpawner launches from a process with a big heap.
func TestSpawner(t *testing.T) {
	heap := make([]byte, 2*prog.BigProcess)
	for i := range heap {
		heap[i] = byte(i)
	}
	for range 20 {
		p := minimal("/bin/sh", "-c", "echo $PPID $(id -u); exit 3")
		l := start(t, p, p.SlotNamed("stdout"))
		stat, err := os.ReadFile("/proc/" + itoa(l.Pid) + "/stat")
		require.NoError(t, err)
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
