package corpus

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// nodeGarbage makes 300 MB of garbage and says how large its heap may grow.
const nodeGarbage = `let live = [];
for (let i = 0; i < 3000; i++) { live.push(new Array(12500).fill(i)); if (live.length > 80) live = []; }
console.log("heap", require("v8").getHeapStatistics().heap_size_limit, "cpus", 1)`

const pythonGarbage = `import threading, os
def work():
    live = []
    for i in range(2000):
        live.append(bytes(100000))
        if len(live) > 50: live.clear()
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print("heap", 0, "cpus", os.environ["OMP_NUM_THREADS"])`

// goView is what Go says it takes the machine for, when it has made garbage.
func goView() {
	goPrograms([]string{"garbage"})
	fmt.Println("heap", debug.SetMemoryLimit(-1), "cpus", runtime.GOMAXPROCS(0))
}

// Real programs under small limits: each makes much more garbage than it may
// have memory, and says afterwards that it knows its limits.
func TestRuntimes(t *testing.T) {
	lane.Require(t, "unprivileged", "userns", "proc")
	for _, rt := range []struct {
		name string
		run  []string
		mem  []limits.Size
	}{
		{"go", []string{"/programs/" + goProgram, "view"}, []limits.Size{64, 128, 256}},
		{"jvm", []string{"java", "-cp", "/programs", "Garbage"}, []limits.Size{64, 96, 128, 256}},
		{"node", []string{"node", "-e", nodeGarbage}, []limits.Size{64, 128, 256}},
		{"python", py(pythonGarbage), []limits.Size{64, 128, 256}},
	} {
		if !has(t, rt.run[0]) {
			continue
		}
		for _, asked := range []string{rt.name, "auto"} {
			for _, mem := range rt.mem {
				t.Run(fmt.Sprintf("%s as %s in %d MiB", rt.name, asked, mem), func(t *testing.T) {
					res, out := runRuntime(t, asked, mem*limits.MiB, rt.run)
					require.Equal(t, sandbox.Exited, res.Verdict, "%s; output %q", res.Cause, out)
					require.Zero(t, *res.ExitCode, "output %q", out)
					require.NotNil(t, res.Runtime)
					assert.Equal(t, rt.name, res.Runtime.Name)
					assert.NotEmpty(t, res.Runtime.Env)
					var heap limits.Size
					var cpus int
					line := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
					_, err := fmt.Sscanf(line, "heap %d cpus %d", &heap, &cpus)
					require.NoError(t, err, "output %q", out)
					assert.LessOrEqual(t, heap, mem*limits.MiB)
					assert.Equal(t, 1, cpus)
				})
			}
		}
	}
}

// The control: a JVM that is told nothing takes a quarter of the machine.
func TestRuntimeNone(t *testing.T) {
	lane.Require(t, "unprivileged", "userns", "proc")
	if !has(t, "java") {
		return
	}
	res, out := runRuntime(t, "none", 128*limits.MiB, []string{"java", "-cp", "/programs", "Garbage"})
	assert.Nil(t, res.Runtime)
	if res.Verdict == sandbox.Exited {
		var heap limits.Size
		_, err := fmt.Sscanf(out, "heap %d", &heap)
		require.NoError(t, err, "output %q", out)
		assert.Greater(t, heap, 128*limits.MiB)
		return
	}
	assert.Equal(t, sandbox.MemoryLimit, res.Verdict, res.Cause)
}

func runRuntime(t *testing.T, asked string, mem limits.Size, argv []string) (*sandbox.Result, string) {
	t.Helper()
	c := sandbox.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	c.Stdout, c.Stderr, c.CWD = &out, &out, sandbox.CWDNone
	c.Binds = []sandbox.Bind{{Source: programs, Target: "/programs"}}
	c.Runtime = asked
	c.Limits.Memory, c.Limits.CPU, c.Limits.Pids, c.Limits.Wall = mem, limits.OneCPU, 64, 5*time.Minute
	res, err := c.Run(t.Context())
	require.NoError(t, err)
	return res, out.String()
}

// has reports whether this host has a runtime; Java's class is compiled once.
// What people install on a host is no feature of it that a lane could promise,
// so a runtime that is missing is named, and no skip.
func has(t *testing.T, program string) bool {
	if strings.HasPrefix(program, "/") {
		return true
	}
	if !installed(program) || program == "java" && !installed("javac") {
		t.Logf("left out: %s is not installed", program)
		return false
	}
	class := filepath.Join(programs, "Garbage.class")
	if _, err := os.Stat(class); program != "java" || err == nil {
		return true
	}
	out, err := exec.CommandContext(t.Context(), "/usr/bin/javac", "-d", programs, "testdata/Garbage.java").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return true
}
