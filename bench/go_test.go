package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/tests/lane"
)

// A side is one of several that take turns in a benchmark.
type side struct {
	name string
	once func() time.Duration
}

// turns lets the sides take turns and reports the median of each and its ratio
// to that of the last: figures of one run, which a busy machine disturbs alike.
func turns(b *testing.B, sides ...side) {
	b.Helper()
	took := make([][]time.Duration, len(sides))
	for i := 0; b.Loop(); i++ {
		for k := range sides {
			k = (k + i) % len(sides)
			took[k] = append(took[k], sides[k].once())
		}
	}
	b.ReportMetric(0, "ns/op") // the sum means nothing
	last := slices.Sorted(slices.Values(took[len(sides)-1]))
	for k, s := range sides {
		sorted := slices.Sorted(slices.Values(took[k]))
		b.ReportMetric(float64(percentile(sorted, 50).Microseconds()), s.name+"-p50-µs")
		b.ReportMetric(float64(percentile(sorted, 99).Microseconds()), s.name+"-p99-µs")
		if k < len(sides)-1 {
			b.ReportMetric(float64(percentile(sorted, 50))/float64(percentile(last, 50)), s.name+":"+sides[len(sides)-1].name)
		}
	}
}

// whole times all of f.
func whole(name string, f func()) side {
	return side{name, func() time.Duration {
		begin := limits.Now()
		f()
		return limits.Now() - begin
	}}
}

// run is one job of the library.
func run(b *testing.B, c *sandbox.Cmd) *sandbox.Result {
	b.Helper()
	r, err := c.Run(b.Context())
	require.NoError(b, err)
	require.Equal(b, sandbox.Exited, r.Verdict)
	return r
}

func cold() *sandbox.Cmd { return sandbox.Command(job) }

// pool returns a pool of which the next sandbox is ready.
func pool(b *testing.B, s sandbox.Spec) (p *sandbox.Pool, ready func()) {
	b.Helper()
	p, err := sandbox.NewPool(s, sandbox.PoolOptions{Most: 8})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, p.Close()) })
	return p, func() {
		for p.Stats().Ready == 0 {
			require.NoError(b, p.Stats().Err)
			<-time.After(100 * time.Microsecond)
		}
	}
}

// compileC builds a static C program, or skips the benchmark.
func compileC(b *testing.B, source string) string {
	b.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		b.Skip("no gcc")
	}
	dir := b.TempDir()
	require.NoError(b, os.WriteFile(filepath.Join(dir, "x.c"), []byte(source), 0o644))
	path := filepath.Join(dir, "x")
	require.NoError(b, output(exec.CommandContext(b.Context(), "gcc", "-O2", "-static", "-o", path, filepath.Join(dir, "x.c"))))
	return path
}

// tickSource prints when its first instruction ran, nearly.
const tickSource = `#include <stdio.h>
#include <time.h>
int main(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); printf("%ld\n", t.tv_sec * 1000000000L + t.tv_nsec); return 0; }`

// BenchmarkClone: init with more and more namespaces, which ends at once.
func BenchmarkClone(b *testing.B) {
	lane.Require(b, "userns")
	flags := uint64(unix.CLONE_NEWUSER)
	for _, ns := range []struct {
		name string
		flag uint64
	}{{"user", 0}, {"mnt", unix.CLONE_NEWNS}, {"pid", unix.CLONE_NEWPID}, {"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}, {"net", unix.CLONE_NEWNET}} {
		flags |= ns.flag
		p := &prog.Program{Flags: flags}
		p.AddInit(prog.StageClone, prog.Call("exit_group", unix.SYS_EXIT_GROUP, prog.Int(0)))
		b.Run("+"+ns.name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, cloneOnce(p))
			}
		})
	}
}

// BenchmarkStages: a cold launch of the library, by the clock of each process.
func BenchmarkStages(b *testing.B) {
	lane.Require(b, "userns", "proc")
	sums := map[string]time.Duration{}
	n := 0
	for ; b.Loop(); n++ {
		c := cold()
		c.TraceStartup = true
		s := run(b, c).Startup
		for _, t := range s.Stages {
			sums[t.Process+"-"+t.Stage] += t.Took
		}
		sums["teardown"] += s.Teardown
	}
	for name, sum := range sums {
		b.ReportMetric(float64(sum.Nanoseconds())/1e3/float64(n), name+"-µs")
	}
}

// BenchmarkCold: the library against the C program with the same calls, and a
// plain fork and exec.
func BenchmarkCold(b *testing.B) {
	lane.Require(b, "userns", "proc")
	floor := theFloor(b)
	turns(b,
		whole("library", func() { run(b, cold()) }),
		whole("exec", func() { require.NoError(b, exec.CommandContext(b.Context(), job).Run()) }),
		whole("floor", func() { require.NoError(b, exec.CommandContext(b.Context(), floor).Run()) }))
}

// BenchmarkPool: from Run to the job's first instruction, in a sandbox that was
// ready, against os/exec with the same static program.
func BenchmarkPool(b *testing.B) {
	lane.Require(b, "userns", "proc")
	program := compileC(b, tickSource)
	b.Chdir(filepath.Dir(program))
	p, ready := pool(b, sandbox.Spec{})
	first := func(name string, start func(out *bytes.Buffer)) side {
		return side{name, func() time.Duration {
			var out bytes.Buffer
			ready()
			begin := limits.Now()
			start(&out)
			ns, err := strconv.ParseInt(strings.TrimSpace(out.String()), 10, 64)
			require.NoError(b, err)
			return time.Duration(ns) - begin
		}}
	}
	turns(b,
		first("pool", func(out *bytes.Buffer) {
			c := p.Command("/work/x")
			c.Stdout = out
			require.True(b, run(b, c).Startup.Pooled)
		}),
		first("exec", func(out *bytes.Buffer) {
			c := exec.CommandContext(b.Context(), program)
			c.Stdout = out
			require.NoError(b, c.Run())
		}))
}

// BenchmarkMap: runs with subordinate ids, in the kept namespace, against runs
// with the caller's own.
func BenchmarkMap(b *testing.B) {
	lane.Require(b, "subid")
	auto := func() {
		c := cold()
		c.Map.Mode = "auto"
		run(b, c)
	}
	auto()
	auto()
	turns(b, whole("auto", auto), whole("self", func() { run(b, cold()) }))
}

// BenchmarkHeap: a launch from a process with a big heap.
func BenchmarkHeap(b *testing.B) {
	lane.Require(b, "userns", "proc")
	for _, mb := range []int{10, 200, 2000} {
		b.Run(fmt.Sprintf("%dMB", mb), func(b *testing.B) {
			heap := make([]byte, mb<<20)
			for i := 0; i < len(heap); i += 4096 {
				heap[i] = 1
			}
			for b.Loop() {
				run(b, cold())
			}
			require.NotZero(b, heap[0])
		})
	}
}

// BenchmarkMounts: a launch with further binds, against one without.
func BenchmarkMounts(b *testing.B) {
	lane.Require(b, "userns", "proc")
	var sides []side
	for _, n := range []int{128, 32, 0} {
		var binds []sandbox.Bind
		for i := range n {
			binds = append(binds, sandbox.Bind{Source: b.TempDir(), Target: fmt.Sprint("/mnt/", i)})
		}
		sides = append(sides, whole(strconv.Itoa(n), func() {
			c := cold()
			c.Binds = binds
			run(b, c)
		}))
	}
	turns(b, sides...)
}

// BenchmarkLive: a launch beside that many sandboxes that wait, in turns with
// os/exec: the machine is not the same at another time, so the ratios compare.
func BenchmarkLive(b *testing.B) {
	lane.Require(b, "userns", "proc")
	for _, n := range []int{1, 16, 128, 512} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			var live sync.WaitGroup
			defer func() { cancel(); live.Wait() }()
			for range n {
				c := sandbox.Command("sleep", "1000")
				require.NoError(b, c.Start(ctx))
				live.Go(func() { _, _ = c.Wait() })
			}
			turns(b,
				whole("library", func() { run(b, cold()) }),
				whole("exec", func() { require.NoError(b, exec.CommandContext(b.Context(), job).Run()) }))
		})
	}
}

// theFloor builds the C program that makes the calls of a plan, or skips.
func theFloor(b *testing.B) string {
	b.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		b.Skip("no gcc")
	}
	plan, err := planOfJailrun()
	require.NoError(b, err)
	floor, err := buildFloor(b.Context(), plan, b.TempDir())
	require.NoError(b, err)
	return floor
}

// BenchmarkReady: the memory of sandboxes that wait in a pool: what the machine
// has less for each, and of that the runner's heap in use.
func BenchmarkReady(b *testing.B) {
	lane.Require(b, "userns", "proc")
	const n = 64
	var heap float64
	most := 0.0 // what a later round takes, an earlier one may have left in the kernel's caches
	for b.Loop() {
		before, inUse := available(b), heapInUse()
		var list []*sandbox.Pool
		for range n {
			p, err := sandbox.NewPool(sandbox.Spec{}, sandbox.PoolOptions{Most: 1})
			require.NoError(b, err)
			list = append(list, p)
		}
		for _, p := range list {
			for p.Stats().Ready == 0 {
				require.NoError(b, p.Stats().Err)
				<-time.After(time.Millisecond)
			}
		}
		most = max(most, float64(before-available(b))/n)
		heap = (heapInUse() - inUse) / n
		for _, p := range list {
			require.NoError(b, p.Close())
		}
	}
	b.ReportMetric(most, "KiB-available")
	b.ReportMetric(heap, "KiB-heap")
}

// heapInUse is what is left of the heap when garbage is collected, in KiB.
func heapInUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1024
}

// available is MemAvailable, in KiB.
func available(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	require.NoError(b, err)
	_, after, _ := strings.Cut(string(text), "MemAvailable:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	require.NoError(b, err)
	return n
}
