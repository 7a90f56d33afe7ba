package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/jobspec/journal"
	"github.com/jailrun/jailrun/sandbox"
)

// numbered is a file with n jobs that differ in a word.
func numbered(n int, run string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return "jobs: {a: {cwd: none, matrix: {i: [" + strings.Join(list, ",") + "]}, run: " + run + "}}\n"
}

// byHand runs the same jobs with nothing of a batch around them.
func byHand(b *testing.B, o Options) time.Duration {
	b.Helper()
	begin := time.Now()
	next := make(chan int)
	var workers sync.WaitGroup
	for range o.Budget.Slots {
		workers.Go(func() {
			for i := range next {
				spec, err := o.Batch.Jobs[i].Spec(o.Load)
				if err != nil {
					b.Error(err)
					return
				}
				var out, errs bytes.Buffer
				c := &sandbox.Cmd{Spec: spec, Stdout: &out, Stderr: &errs}
				if r, err := c.Run(b.Context()); err != nil || r.Verdict != sandbox.Exited {
					b.Error(r, err)
				}
			}
		})
	}
	for i := range o.Batch.Jobs {
		next <- i
	}
	close(next)
	workers.Wait()
	return time.Since(begin)
}

// ownCPU is what this process has used, without what it has forked.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOverhead compares a batch with the same launches by hand, taken in
// turns, so that a busy machine slows both. "overhead-µs/job" is what a job
// takes longer; "slot-µs/job" is the same for each slot: how long one is kept
// from launching.
func BenchmarkOverhead(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as jailrun batch does
	for _, slots := range []int{1, 2} {
		for _, how := range []string{"cold", "pool"} {
			b.Run(fmt.Sprintf("%s-j%d", how, slots), func(b *testing.B) { overhead(b, how == "cold", slots) })
		}
	}
}

func overhead(b *testing.B, cold bool, slots int) {
	b.Helper()
	const jobs = 100
	o := prepared(b, b.TempDir(), numbered(jobs, "['true']"))
	o.Cold, o.Budget.Slots = cold, slots
	var diffs, ratios, own []float64
	for b.Loop() {
		idle := ownCPU(b)
		hand := byHand(b, o)
		between := ownCPU(b)
		begin := time.Now()
		_, err := Run(b.Context(), o)
		require.NoError(b, err)
		took := time.Since(begin)
		own = append(own, float64((ownCPU(b)-between-(between-idle)).Microseconds())/jobs)
		diffs = append(diffs, float64((took-hand).Microseconds())/jobs)
		ratios = append(ratios, float64(hand)/float64(took))
	}
	median := func(all []float64) float64 {
		slices.Sort(all)
		return all[len(all)/2]
	}
	b.ReportMetric(median(own), "own-CPU-µs/job")
	b.ReportMetric(median(diffs), "overhead-µs/job")
	b.ReportMetric(median(diffs)*float64(slots), "slot-µs/job")
	b.ReportMetric(median(ratios), "throughput-of-by-hand")
}

// BenchmarkResume goes on with a journal in which all of 10000 jobs are done.
func BenchmarkResume(b *testing.B) {
	const jobs = 10_000
	o := prepared(b, b.TempDir(), numbered(jobs, "['true']"))
	// One real record, for all of them.
	one := prepared(b, b.TempDir(), numbered(1, "['true']"))
	var record Record
	one.Result = func(line []byte) { require.NoError(b, json.Unmarshal(line, &record)) }
	_, err := Run(b.Context(), one)
	require.NoError(b, err)
	d := newDigester(o.Batch, o.Load)
	header, err := json.Marshal(Header{Version: 1, Jobs: jobs})
	require.NoError(b, err)
	j, err := journal.Create(o.Journal, header, func([]byte) {})
	require.NoError(b, err)
	size := 0
	for i, job := range o.Batch.Jobs {
		record.Entry.ID = job.ID
		record.Entry.Digest, err = d.of(i)
		require.NoError(b, err)
		line, err := json.Marshal(&record)
		require.NoError(b, err)
		size += len(line)
		require.NoError(b, j.Append(line))
	}
	require.NoError(b, j.Close())
	o.Resume = true
	b.ReportMetric(float64(size)/jobs, "bytes/record")
	for b.Loop() {
		s, err := Run(b.Context(), o)
		require.NoError(b, err)
		require.Equal(b, jobs, s.Resumed)
	}
}

// BenchmarkMany runs 10000 trivial jobs and reports the most memory that was
// resident, of this whole process.
func BenchmarkMany(b *testing.B) {
	const jobs = 10_000
	o := prepared(b, b.TempDir(), numbered(jobs, "['true']"))
	for b.Loop() {
		begin := time.Now()
		s, err := Run(b.Context(), o)
		require.NoError(b, err)
		require.Equal(b, jobs, Score(o.Batch, s).Passed)
		b.ReportMetric(jobs/time.Since(begin).Seconds(), "jobs/s")
	}
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
			b.ReportMetric(kib/1024, "MiB-peak")
		}
	}
}

// BenchmarkPinned compares the CPU time of a program that runs beside another
// of its kind, each on a CPU of its own, with that of its lone run.
func BenchmarkPinned(b *testing.B) {
	const job = "jobs: {a: {pin: true, cwd: none, matrix: {i: [%s]}, run: [sh, -c, 'i=0; while [ $i -lt 1500000 ]; do i=$((i+1)); done']}}\n"
	cpu := func(list string) float64 {
		o := prepared(b, b.TempDir(), fmt.Sprintf(job, list))
		o.Budget.Slots = 2
		o.State = filepath.Join(b.TempDir(), "state")
		s, err := Run(b.Context(), o)
		require.NoError(b, err)
		var all []float64
		for _, x := range s.Outcomes {
			all = append(all, x.CPU.Seconds())
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	var lone, both []float64
	for b.Loop() {
		lone = append(lone, cpu("1"))
		both = append(both, cpu("1,2"))
	}
	slices.Sort(lone)
	slices.Sort(both)
	b.ReportMetric(lone[len(lone)/2], "s-lone")
	b.ReportMetric(both[len(both)/2]/lone[len(lone)/2]*100-100, "%-off")
}
