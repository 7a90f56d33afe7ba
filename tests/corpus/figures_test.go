package corpus

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// The figures of the limits. Each benchmark reports what it measures beside
// ns/op, which means nothing here; run them one at a time on a quiet machine:
//
//	go test ./tests/corpus -run '^$' -bench Lateness -benchtime 200x
//
// In a machine the compiled tests run with the compiled C programs, hostile,
// beside them: go run ./tests/vm/run --ro DIR -- DIR/corpus.test -test.bench .

// launch runs a program once and returns its result.
func launch(b *testing.B, want sandbox.Verdict, argv []string, limit func(*sandbox.Limits)) *sandbox.Result {
	b.Helper()
	c := sandbox.Command(argv[0], argv[1:]...)
	c.CWD = sandbox.CWDNone
	c.Binds = []sandbox.Bind{{Source: programs, Target: "/programs"}}
	limit(&c.Limits)
	r, err := c.Run(b.Context())
	require.NoError(b, err)
	require.Equal(b, want, r.Verdict, r.Cause)
	return r
}

// report sorts values and reports their median, 99th percentile and maximum.
func report(b *testing.B, unit string, values []float64) {
	slices.Sort(values)
	n := len(values)
	b.ReportMetric(values[n/2], "median-"+unit)
	b.ReportMetric(values[(n*99)/100], "p99-"+unit)
	b.ReportMetric(values[n-1], "max-"+unit)
	b.ReportMetric(0, "ns/op")
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// BenchmarkWallLateness: how much longer than its wall limit a job lives.
func BenchmarkWallLateness(b *testing.B) {
	const limit = 50 * time.Millisecond
	for name, argv := range map[string][]string{"sleeping": c("sleep"), "spinning": c("spin")} {
		b.Run(name, func(b *testing.B) {
			var late []float64
			for b.Loop() {
				r := launch(b, sandbox.WallTime, argv, func(l *sandbox.Limits) { l.Wall = limit })
				late = append(late, inMS(r.Wall-limit))
			}
			report(b, "ms", late)
		})
	}
}

// BenchmarkCPULateness: how much more CPU time than its limit a job gets.
func BenchmarkCPULateness(b *testing.B) {
	const limit = 100 * time.Millisecond
	for _, threads := range []int{1, 4} {
		b.Run(fmt.Sprint(threads, "-threads"), func(b *testing.B) {
			var late []float64
			for b.Loop() {
				r := launch(b, sandbox.CPUTime, c("threads", threads), func(l *sandbox.Limits) { l.CPUTime, l.Wall = limit, time.Minute })
				late = append(late, inMS(r.CPU.Total-limit))
			}
			report(b, "ms", late)
		})
	}
}

// BenchmarkCPUShare: the share of a CPU that a job gets of the 20 % that it may
// have, over 5 s.
func BenchmarkCPUShare(b *testing.B) {
	const span = 5 * time.Second
	for _, p := range []struct {
		name string
		argv []string
	}{
		{"1-thread", c("threads", 1)},
		{"4-threads", c("threads", 4)},
		{"16-threads", c("threads", 16)},
		{"4-daemons", c("daemons", 4)},
		{"16-daemons", c("daemons", 16)},
	} {
		b.Run(p.name, func(b *testing.B) {
			var share []float64
			for b.Loop() {
				r := launch(b, sandbox.WallTime, p.argv, func(l *sandbox.Limits) { l.CPU, l.Wall = 200, span })
				share = append(share, 100*float64(r.CPU.Total)/float64(r.Wall))
			}
			report(b, "%", share)
		})
	}
}

// BenchmarkDaemonsCPU: what is counted of the CPU time that four daemons burn,
// each by its own clock, in percent of it.
func BenchmarkDaemonsCPU(b *testing.B) {
	const each, daemons = 250, 4
	var counted []float64
	for b.Loop() {
		r := launch(b, sandbox.Exited, c("daemons-burn", each), func(l *sandbox.Limits) { l.Wall = time.Minute })
		counted = append(counted, 100*float64(r.CPU.Total)/float64(daemons*each*time.Millisecond))
	}
	report(b, "%", counted)
}

// BenchmarkMemoryOvershoot: by how much a job that touches memory as fast as it
// can gets beyond 64 MiB, alone and beside 64 processes that could run. The
// kernel keeps the high-water mark of the process.
func BenchmarkMemoryOvershoot(b *testing.B) {
	for _, others := range []int{0, 64} {
		b.Run(fmt.Sprint("beside-", others), func(b *testing.B) {
			for range others {
				busy := exec.CommandContext(b.Context(), programs+"/"+cProgram, "spin")
				require.NoError(b, busy.Start())
				defer func() { _ = busy.Process.Kill(); _ = busy.Wait() }()
			}
			var over []float64
			for b.Loop() {
				r := launch(b, sandbox.MemoryLimit, c("anonymous"), func(l *sandbox.Limits) { l.Memory = memoryLimit })
				require.NotNil(b, r.Memory.MaxRSS)
				over = append(over, float64(*r.Memory.MaxRSS-int64(memoryLimit))/float64(limits.MiB))
			}
			report(b, "MiB", over)
		})
	}
}

// BenchmarkStart: what the limits add to a cold start, and to a whole run, with
// the reading of the counters and the removal of the group. Jobs with and
// without them take turns, so that both meet the same machine.
func BenchmarkStart(b *testing.B) {
	var setup, whole [2][]float64
	var group []float64
	some := [2]func(*sandbox.Limits){
		func(l *sandbox.Limits) { l.Memory, l.CPU, l.Wall = 64*limits.MiB, 500, time.Minute },
		func(*sandbox.Limits) {},
	}
	for i := 0; b.Loop(); i++ {
		for k := range some {
			k = (k + i) % 2
			begin := limits.Now()
			r := launch(b, sandbox.Exited, []string{"/bin/true"}, some[k])
			whole[k] = append(whole[k], inMS(limits.Now()-begin))
			setup[k] = append(setup[k], inMS(r.Setup))
			if k == 0 {
				group = append(group, inMS(r.Startup.Group))
			}
		}
	}
	median := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
	b.ReportMetric(median(setup[0])/median(setup[1]), "setup-with:without")
	b.ReportMetric(median(whole[0])/median(whole[1]), "whole-with:without")
	b.ReportMetric(median(whole[1]), "median-ms-without")
	b.ReportMetric(median(group), "median-ms-group")
	b.ReportMetric(0, "ns/op")
}
