package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// A contender is a command whose whole process, from fork to the end of
// waiting, is timed.
type contender struct {
	name string
	argv []string
	took []time.Duration
}

// The names that goals refer to.
const (
	nameJailrun = "`jailrun -- /bin/true`"
	nameBwrap   = "`bwrap --unshare-all`, same mounts"
	nameFloor   = "C program with the plan's calls (floor)"
	nameVersion = "`jailrun version`"
	nameEmpty   = "empty Go program"
)

// A goal is the ratio of two medians that is not to be exceeded.
type goal struct {
	of, to string
	most   float64
}

var goals = []goal{
	{nameJailrun, nameBwrap, 1.0},
	{nameJailrun, nameFloor, 1.8},
	{nameVersion, nameEmpty, 1.35},
}

const job = "/bin/true"

// times lets the contenders take turns and prints what each took.
func times(ctx context.Context, o options) error {
	plan, err := planOfJailrun()
	if err != nil {
		return err
	}
	parts, err := os.MkdirTemp("", "jailrun-floor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(parts)
	list, err := contenders(ctx, plan, o.dir, parts)
	if err != nil {
		return err
	}
	if err := takeTurns(ctx, list, o.rounds); err != nil {
		return err
	}
	printTimes(list)
	return nil
}

// planOfJailrun is the plan of `jailrun -- /bin/true` in this directory. The
// command line always gives the job a stdin.
func planOfJailrun() (*prog.Program, error) {
	c := sandbox.Command(job)
	c.Stdin = os.Stdin
	plan, err := c.Plan()
	if err != nil {
		return nil, err
	}
	return plan.Program, nil
}

func contenders(ctx context.Context, plan *prog.Program, dir, parts string) ([]*contender, error) {
	floor, err := buildFloor(ctx, plan, parts)
	if err != nil {
		return nil, err
	}
	work, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	bwrap := func(masks bool) ([]string, error) {
		args, err := bwrapArgs(ctx, work, filepath.Join(dir, "empty"), masks)
		argv := append([]string{"bwrap", "--unshare-all"}, args...)
		return append(argv, "--chdir", sandbox.WorkDir, "--", job), err
	}
	with, err := bwrap(true)
	if err != nil {
		return nil, err
	}
	without, err := bwrap(false)
	if err != nil {
		return nil, err
	}
	jailrun := filepath.Join(dir, "jailrun")
	return []*contender{
		{name: nameJailrun, argv: []string{jailrun, "-q", "--", job}},
		{name: nameBwrap, argv: with},
		{name: "the same without the masks in /proc", argv: without},
		{name: nameFloor, argv: []string{floor}},
		{name: nameVersion, argv: []string{jailrun, "version"}},
		{name: nameEmpty, argv: []string{filepath.Join(dir, "empty-go")}},
		{name: "fork and exec of `/bin/true`", argv: []string{job}},
	}, nil
}

// takeTurns runs every contender once a round. The order changes from round to
// round: the kernel takes a network namespace down after its process has ended,
// at the cost of whoever comes next.
func takeTurns(ctx context.Context, list []*contender, rounds int) error {
	const warmUp = 10
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	order := rand.New(rand.NewPCG(1, 2))
	for round := range warmUp + rounds {
		for _, i := range order.Perm(len(list)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			took, err := list[i].once(null)
			if err != nil {
				return fmt.Errorf("%s: %w", list[i].name, err)
			}
			if round >= warmUp {
				list[i].took = append(list[i].took, took)
			}
		}
	}
	return nil
}

// once times one run. Only a success counts.
func (c *contender) once(null *os.File) (time.Duration, error) {
	path, err := exec.LookPath(c.argv[0])
	if err != nil {
		return 0, err
	}
	start := time.Now()
	p, err := os.StartProcess(path, c.argv, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{null, null, os.Stderr}})
	if err != nil {
		return 0, err
	}
	hung := time.AfterFunc(10*time.Second, func() { _ = p.Kill() })
	state, err := p.Wait()
	hung.Stop()
	took := time.Since(start)
	if err == nil && !state.Success() {
		err = fmt.Errorf("%v", state)
	}
	return took, err
}

func (c *contender) percentile(p int) time.Duration {
	sorted := slices.Sorted(slices.Values(c.took))
	return sorted[(len(sorted)-1)*p/100]
}

func printTimes(list []*contender) {
	median := map[string]float64{}
	fmt.Printf("| whole process, %d runs each, taking turns | median | p95 |\n|---|---|---|\n", len(list[0].took))
	for _, c := range list {
		median[c.name] = float64(c.percentile(50))
		fmt.Printf("| %s | %s | %s |\n", c.name, ms(c.percentile(50)), ms(c.percentile(95)))
	}
	fmt.Printf("\n| ratio of medians | measured | goal |\n|---|---|---|\n")
	for _, g := range goals {
		fmt.Printf("| %s : %s | %.2f | ≤ %.2f |\n", g.of, g.to, median[g.of]/median[g.to], g.most)
	}
	fmt.Println()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }
