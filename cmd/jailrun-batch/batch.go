package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/jailrun/jailrun/cmd/internal/sibling"
	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
	"github.com/jailrun/jailrun/jobspec/schedule"
	"github.com/jailrun/jailrun/limits"
)

func batchCommand(args []string) int {
	o, err := parse("batch", batchHelp, args)
	if err != nil {
		return usage(o, err)
	}
	if len(o.files) != 1 {
		return fail(fmt.Errorf("want one job file, got %d", len(o.files)), "jailrun batch jobs.yaml; jailrun spec example prints a starter")
	}
	dir, name := filepath.Split(o.files[0])
	w, err := open(o, dir)
	if err != nil {
		return fail(err, "")
	}
	defer w.close()
	b, err := jobspec.Load(name, w.load)
	if err != nil {
		return fail(err, "")
	}
	return w.run(b, o.files[0], exitCode)
}

// A workplace is the directory of a job file or a package, opened.
type workplace struct {
	*options
	dir  string // absolute, without links
	root *os.Root
	load jobspec.Options
}

func open(o *options, dir string) (*workplace, error) {
	if dir == "" {
		dir = "."
	}
	real, err := filepath.Abs(dir)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, err
	}
	w := &workplace{options: o, dir: real, root: root, load: jobspec.Options{
		FS: beneath{root}, Vars: o.vars, Host: &host{base: real, allow: o.allow}, Networks: o.allowNet,
	}}
	if o.allowSeccomp {
		w.load.Profile = new(profiles).load
	}
	return w, nil
}

func (w *workplace) close() { _ = w.root.Close() }

// smallBatch is the number of jobs up to which garbage is let grow to four times
// what is in use: each launch makes a quarter of a megabyte, and to collect it
// every few launches costs a short job a tenth of a millisecond. A large batch
// holds 20 MiB for 10000 jobs, and forks are dearer the more is resident.
const smallBatch = 2000

// A conclusion makes the exit code of what became of a batch.
type conclusion func(sum *batch.Summary, total *batch.Total, err error) int

// run checks a batch and carries it out; what names it for --resume.
func (w *workplace) run(b *jobspec.Batch, what string, conclude conclusion) int {
	budget, err := w.budget()
	if err != nil {
		return fail(err, "")
	}
	if err := w.tryAll(b, &budget); err != nil {
		return fail(err, hintOf(err))
	}
	if w.check {
		if !w.quiet {
			say("%s: %d jobs, %d at a time, all well", what, len(b.Jobs), budget.Slots)
		}
		return exitPassed
	}
	state, err := stateDir(w.state)
	if err != nil {
		return fail(err, "")
	}
	path, err := w.journalPath(state, what)
	if err != nil {
		return fail(err, "")
	}
	out, err := openReports(w.options)
	if err != nil {
		return fail(err, "")
	}
	ctx, drain, stop := watchSignals()
	defer stop()
	if len(b.Jobs) <= smallBatch {
		debug.SetGCPercent(400)
	}
	p := newProgress(b, w.quiet)
	sum, err := batch.Run(ctx, batch.Options{
		Batch: b, Load: w.load, Budget: budget, State: state, Journal: path, Resume: w.resume,
		Evacuate: true, Cold: w.cold, Drain: drain, Network: network, ImportImage: sibling.Importer(w.quiet),
		Started: p.started, Finished: p.finished, Result: out.result,
	})
	p.end()
	for _, n := range sum.Notes {
		say("%s", n)
	}
	total := batch.Score(b, sum)
	err = errors.Join(err, out.finish(b, sum, total))
	if err != nil {
		fail(err, "")
	}
	if !w.quiet {
		printSummary(b, sum, total)
	}
	return conclude(sum, total, err)
}

// exitCode says by one number what became of the batch.
func exitCode(sum *batch.Summary, total *batch.Total, err error) int {
	switch {
	case err != nil || total.Counts[jobspec.Internal] > 0:
		return exitFailed
	case sum.Drained:
		return exitInterrupted
	case total.Passed < len(sum.Outcomes):
		return exitNotPassed
	}
	return exitPassed
}

// budget is what the machine leaves, with -j and --memory.
func (w *workplace) budget() (schedule.Budget, error) {
	b, err := schedule.Machine(os.DirFS("/"))
	if err != nil {
		return b, err
	}
	if w.jobs != "auto" {
		b.Slots, _ = strconv.Atoi(w.jobs) // read once before
	}
	if w.memory != "" {
		n, err := limits.ParseSize(w.memory)
		if err != nil {
			return b, fmt.Errorf("--memory: %w", err)
		}
		b.Memory = min(b.Memory, int64(n))
	}
	return b, nil
}

// journalPath is where the journal of this job file lies. No job may write
// there: what a journal says is done is not run again.
func (w *workplace) journalPath(state, what string) (string, error) {
	if w.journal != "" {
		path, err := filepath.Abs(w.journal)
		if err != nil {
			return "", err
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		for _, a := range w.allow {
			if a.write && (inside(dir, a.dir) || inside(a.dir, dir)) {
				return "", fmt.Errorf("--journal %s: jobs may write to %s (--allow)", path, a.dir)
			}
		}
		return filepath.Join(dir, filepath.Base(path)), nil
	}
	sum := sha256.Sum256([]byte(filepath.Join(w.dir, filepath.Base(what))))
	dir := filepath.Join(state, "journals")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(dir, hex.EncodeToString(sum[:8])+".jsonl"), nil
}

// watchSignals makes of the first signal a wish that no further job starts,
// and of the second the end of those that run.
func watchSignals() (ctx context.Context, drain chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	drain = make(chan struct{})
	signals := notify()
	go func() {
		first := true
		for range signals {
			if !first {
				cancel()
				continue
			}
			first = false
			close(drain)
			say("no further job starts; once more ends those that run")
		}
	}()
	return ctx, drain, cancel
}
