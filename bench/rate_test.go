package bench

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/tests/lane"
)

// BenchmarkRate: jobs a second of that many workers, in turns: from a pool,
// cold, and of the C program with the same calls, each in a loop. What the
// kernel takes for the namespaces alone is namespaces: made, and gone again.
func BenchmarkRate(b *testing.B) {
	lane.Require(b, "userns", "proc")
	floor := theFloor(b)
	empty := &prog.Program{Flags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET}
	empty.AddInit(prog.StageClone, prog.End())
	for _, workers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			p, ready := pool(b, sandbox.Spec{})
			ready()
			rates(b, workers,
				rate{"pool", each(func() error { _, err := p.Command(job).Run(b.Context()); return err })},
				rate{"cold", each(func() error { _, err := cold().Run(b.Context()); return err })},
				rate{"namespaces", each(func() error { return cloneOnce(empty) })},
				rate{"floor", func(n int) error { return exec.CommandContext(b.Context(), floor, strconv.Itoa(n)).Run() }})
		})
	}
}

// A rate is one of several ways to run n jobs, one after the other.
type rate struct {
	name string
	run  func(n int) error
}

func each(run func() error) func(n int) error {
	return func(n int) (err error) {
		for i := 0; i < n && err == nil; i++ {
			err = run()
		}
		return err
	}
}

// rates lets the sides take turns and reports the median rate of each, and its
// ratio to that of the last.
func rates(b *testing.B, workers int, sides ...rate) {
	b.Helper()
	const jobs = 48 // of a turn
	all := make([][]float64, len(sides))
	for i := 0; b.Loop(); i++ {
		for k := range sides {
			k = (k + i) % len(sides)
			begin := time.Now()
			var work sync.WaitGroup
			for range workers {
				work.Go(func() {
					if err := sides[k].run(jobs / workers); err != nil {
						b.Error(err)
					}
				})
			}
			work.Wait()
			all[k] = append(all[k], jobs/time.Since(begin).Seconds())
		}
	}
	b.ReportMetric(0, "ns/op")
	median := func(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }
	last := median(all[len(sides)-1])
	for k, s := range sides {
		b.ReportMetric(median(all[k]), s.name+"-jobs/s")
		if k < len(sides)-1 {
			b.ReportMetric(median(all[k])/last, s.name+":"+sides[len(sides)-1].name)
		}
	}
}

// cloneOnce runs a program that ends at once.
func cloneOnce(p *prog.Program) error {
	proc, err := p.Start([]prog.Binding{{Slot: prog.SlotStatus, Fd: 2}, {Slot: prog.SlotCtl, Fd: 2}})
	if err != nil {
		return err
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(proc.PidFd.Fd()), Events: unix.POLLIN}}, -1)
	// ECHILD: it was a child of the spawner's.
	if e := unix.Waitid(unix.P_PIDFD, int(proc.PidFd.Fd()), nil, unix.WEXITED|unix.WALL, nil); !errors.Is(e, unix.ECHILD) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, proc.PidFd.Close(), proc.Release())
}
