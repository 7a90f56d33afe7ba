//go:build ignore

// Gojudge compares the job rate of a pool with that of go-judge's own reused
// containers, both in this process, in turns. It is built by bench/gojudge/run,
// in a module of its own: nothing of go-judge is a dependency of jailrun.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/criyle/go-judge/env"
	"github.com/criyle/go-judge/env/pool"
	"github.com/criyle/go-judge/envexec"
	"github.com/criyle/go-judge/worker"
	"github.com/criyle/go-sandbox/container"
	"github.com/criyle/go-sandbox/runner"
	"go.uber.org/zap"

	"github.com/jailrun/jailrun/sandbox"
)

func init() { container.Init() } // go-judge runs the program again inside

const job = "/bin/true"

func main() {
	rounds := flag.Int("rounds", 20, "turns of each")
	jobs := flag.Int("jobs", 200, "jobs of a turn")
	workers := flag.Int("workers", 2, "jobs at one time")
	flag.Parse()
	if err := compare(*rounds, *jobs, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "gojudge:", err)
		os.Exit(1)
	}
}

func compare(rounds, jobs, workers int) error {
	judge, groups, err := newJudge()
	if err != nil {
		return fmt.Errorf("go-judge: %w", err)
	}
	ours, err := sandbox.NewPool(sandbox.Spec{}, sandbox.PoolOptions{Most: 8})
	if err != nil {
		return err
	}
	defer ours.Close()
	sides := [2]func() error{
		func() error { return judge.run() },
		func() error {
			r, err := ours.Command(job).Run(context.Background())
			if err == nil && r.Verdict != sandbox.Exited {
				err = errors.New(string(r.Verdict))
			}
			return err
		},
	}
	var rate [2][]float64
	var ratio []float64
	for round := range rounds + 1 {
		var now [2]float64
		for k := range sides {
			k = (k + round) % 2
			if now[k], err = jobsPerSecond(sides[k], jobs, workers); err != nil {
				return err
			}
		}
		if round == 0 {
			continue // makes go-judge's containers, and the first sandboxes
		}
		rate[0], rate[1], ratio = append(rate[0], now[0]), append(rate[1], now[1]), append(ratio, now[1]/now[0])
	}
	judge.environments.(interface{ Destroy() }).Destroy()
	fmt.Printf("uid %d, %d workers, %d turns of %d jobs of %s each\n", os.Getuid(), workers, rounds, jobs, job)
	fmt.Printf("go-judge  %6.0f jobs/s  containers made once and reused: user, mount, pid, ipc, uts and net namespaces, tmpfs root, read-only binds, masks; of each job only a cgroup namespace, rlimits, no capabilities, no_new_privs; then its processes are killed, /w and /tmp emptied; no system call filter; no output kept; controllers: %s\n", median(rate[0]), groups)
	fmt.Printf("jailrun   %6.0f jobs/s  a fresh sandbox for each job, everything in force, output pipes, result\n", median(rate[1]))
	fmt.Printf("jailrun : go-judge  %.2f (median of the turns; %.2f to %.2f)\n", median(ratio), slices.Min(ratio), slices.Max(ratio))
	return nil
}

// A judge is what go-judge keeps to run jobs: its pool of containers.
type judge struct {
	environments worker.EnvironmentPool
	null         *os.File
}

// newJudge makes the pool as go-judge's server does by default.
func newJudge() (*judge, string, error) {
	builder, conf, err := env.NewBuilder(env.Config{
		TmpFsParam: "size=128m,nr_inodes=4k", MountConf: "mount.yaml", SeccompConf: "seccomp.yaml",
		CgroupPrefix: "gojudge", ContainerCredStart: 10000, CPUCfsPeriod: 100 * time.Millisecond,
	}, zap.NewNop())
	if err != nil {
		return nil, "", err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, "", err
	}
	groups := "none"
	if c := fmt.Sprint(conf["cgroupControllers"]); c != "<nil>" && c != "[]" {
		groups = c
	}
	return &judge{pool.NewPool(builder), null}, groups, nil
}

func (j *judge) run() error {
	e, err := j.environments.Get()
	if err != nil {
		return err
	}
	defer j.environments.Put(e) // resets it
	fd := j.null.Fd()
	p, err := e.Execve(context.Background(), envexec.ExecveParam{
		Args: []string{job}, Env: []string{"PATH=/usr/bin:/bin"}, Files: []uintptr{fd, fd, fd},
		Limit: envexec.Limit{Time: 10 * time.Second, Memory: 256 << 20, Proc: 64, Stack: 8 << 20, Output: 64 << 20, OpenFile: 256},
	})
	if err != nil {
		return err
	}
	<-p.Done()
	if r := p.Result(); r.Status != runner.StatusNormal || r.ExitStatus != 0 {
		return fmt.Errorf("%v, exit status %d: %s", r.Status, r.ExitStatus, r.Error)
	}
	return nil
}

func jobsPerSecond(once func() error, jobs, workers int) (float64, error) {
	queue := make(chan struct{})
	errs := make(chan error, jobs)
	var all sync.WaitGroup
	begin := time.Now()
	for range workers {
		all.Go(func() {
			for range queue {
				errs <- once()
			}
		})
	}
	for range jobs {
		queue <- struct{}{}
	}
	close(queue)
	all.Wait()
	took := time.Since(begin)
	close(errs)
	for err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(jobs) / took.Seconds(), nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
