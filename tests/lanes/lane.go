package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/jailrun/jailrun/tests/vm"
)

// place is where test binaries run: a machine, or this host.
type place interface {
	Run(ctx context.Context, job vm.Job) (int, error)
	Kernel() string
	Close() error
}

// outcome is what became of one suite in a lane.
type outcome struct {
	pkg   string
	tally tally
	took  time.Duration
}

// laneRun is one lane: asked, and then done.
type laneRun struct {
	options
	lane      string
	root, dir string // of the module, and of the test binaries
	suites    []suite
	table     *skips // read only
	out       *printer

	ok       bool
	kernel   string
	outcomes []outcome
}

// run runs every suite of the lane and prints a line for each and the closing one. Afterwards ok says that no test
// failed and that the numbers of skips are the table's.
func (r *laneRun) run(ctx context.Context) (err error) {
	start := time.Now()
	p, err := r.open(ctx)
	if err != nil {
		return fmt.Errorf("lane %s: %w", r.lane, err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	r.ok, r.kernel = true, p.Kernel()
	var sum tally
	for _, s := range r.suites {
		if !s.in(r.lane) {
			continue
		}
		o, err := r.runSuite(ctx, p, s)
		if err != nil {
			return fmt.Errorf("lane %s, %s: %w", r.lane, s.pkg, err)
		}
		r.outcomes = append(r.outcomes, o)
		sum.add(o.tally)
	}
	r.ok = r.ok && sum.failed == 0
	name := r.lane
	if r.shape != "" {
		name += ", shape " + r.shape
	}
	r.out.printf("lane %s: %s (linux %s, %.1fs)\n", name, sum, r.kernel, time.Since(start).Seconds())
	return nil
}

func (r *laneRun) open(ctx context.Context) (place, error) {
	if r.lane == hostLane {
		return host{}, nil
	}
	lane, kernel, _ := strings.Cut(r.lane, "-")
	return vm.Boot(ctx, vm.Config{
		Lane: lane, Shape: r.shape, Kernel: kernel, ReadOnly: []string{r.root, r.dir},
		Log: func(line string) { r.out.printf("lane %s: %s\n", r.lane, line) },
	})
}

// runSuite runs one suite and prints what failed, and its line.
func (r *laneRun) runSuite(ctx context.Context, p place, s suite) (outcome, error) {
	var said bytes.Buffer // of one suite at a time, so that lanes do not talk at once
	var out io.Writer = &said
	if r.verbose {
		out = os.Stdout
	}
	began := time.Now()
	t, err := r.start(ctx, p, s, out)
	o := outcome{s.pkg, t, time.Since(began)}
	if err == nil {
		fmt.Fprintf(out, "  %-8s %-18s %s in %.1fs\n", r.lane, s.pkg, t, o.took.Seconds())
		if names := o.tally.uninstalled; len(names) > 0 {
			fmt.Fprintf(out, "           for want of programs: %s\n", strings.Join(names, ", "))
		}
		r.compare(o, out)
	}
	r.out.write(said.Bytes())
	return o, err
}

// compare holds the number of skips against the table. A kernel of the matrix has the row of lane qemu, and may have
// more than that.
func (r *laneRun) compare(o outcome, out io.Writer) {
	if !r.comparable() || r.update {
		return
	}
	want := r.table.get(r.lane, o.pkg)
	if o.tally.holes() > want || o.tally.holes() < want && !strings.Contains(r.lane, "-") {
		r.ok = false
		fmt.Fprintf(out, "lane %s: %s skipped %d tests, %s says %d:\n%s",
			r.lane, o.pkg, o.tally.holes(), skipsFile, want, strings.Join(o.tally.reasons, ""))
	}
}

// comparable says whether the lane's numbers of skips stand in the table: those of a plain run.
func (r *laneRun) comparable() bool {
	return r.match == "" && r.shape == "" && r.short && r.lane != hostLane
}

// start runs one test binary. Its standard output goes through test2json, which tells a test's result from what a test
// prints.
func (r *laneRun) start(ctx context.Context, p place, s suite, out io.Writer) (tally, error) {
	convert := exec.CommandContext(ctx, "go", "tool", "test2json", "-t", "-p", s.pkg)
	in, err := convert.StdinPipe()
	if err != nil {
		return tally{}, err
	}
	events, err := convert.StdoutPipe()
	if err != nil {
		return tally{}, err
	}
	convert.Stderr = os.Stderr
	if err := convert.Start(); err != nil {
		return tally{}, err
	}
	counted := make(chan tally)
	go func() { counted <- count(events, out, r.verbose) }()
	code, err := p.Run(ctx, vm.Job{
		Argv: r.argv(s), Env: r.env(), Dir: s.dir, Timeout: r.timeout + 10*time.Second, Stdout: in, Stderr: in,
	})
	in.Close()
	t := <-counted
	if err := errors.Join(err, convert.Wait()); err != nil {
		return t, err
	}
	if code != 0 && t.failed == 0 { // os.Exit, a leak found by TestMain
		t.failed++
	}
	if code != 0 && len(t.loose) > 0 {
		fmt.Fprintf(out, "--- FAIL: %s: exit status %d\n%s", s.pkg, code, strings.Join(t.loose, ""))
	}
	return t, nil
}

func (r *laneRun) argv(s suite) []string {
	argv := []string{s.binary, "-test.v=test2json", "-test.timeout=" + r.timeout.String(), fmt.Sprintf("-test.short=%t", r.short)}
	if r.match != "" {
		argv = append(argv, "-test.run="+r.match)
	}
	return argv
}

// env passes on what steers tests.
func (r *laneRun) env() []string {
	var env []string
	for _, name := range []string{"JAILRUN_REQUIRE", "JAILRUN_CORPUS_RUNS"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}
