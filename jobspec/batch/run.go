package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/journal"
	"github.com/jailrun/jailrun/jobspec/schedule"
)

// Options say how a batch is run.
type Options struct {
	Batch *jobspec.Batch
	Load  jobspec.Options // what it was loaded with
	// Budget is what all jobs may use together; Slots is -j.
	Budget schedule.Budget
	// State is a directory of the caller's alone, for what jobs print and
	// leave: it is made if it does not exist.
	State string
	// Journal is the file that keeps results; "" keeps none, and a batch that
	// is killed starts afresh.
	Journal string
	// Resume takes the finished jobs of the journal as they are.
	Resume bool
	// Evacuate: see [sandbox.Cmd].
	Evacuate bool
	// Fresh takes no outputs of earlier runs instead of a run.
	Fresh bool
	// Cold launches every job by itself, without a pool.
	Cold bool

	// Sources are inputs that come from no job of the batch, by hash.
	Sources map[jobspec.Output]string

	// Started and Finished tell of the progress, from one goroutine. Finished
	// also tells of jobs that were skipped, and of those that a journal held.
	Started  func(job int)
	Finished func(job int, o *Outcome)
	// Result is given every record as one line of JSON, when it is on the
	// disk; those of the journal first. It is called from one goroutine, and
	// line is valid until it returns.
	Result func(line []byte)
	// Drain, when it is closed, lets no further job start.
	Drain <-chan struct{}
}

// A Summary is what became of a batch.
type Summary struct {
	Outcomes []Outcome // by the number of the job; the zero value did not run
	Start    time.Time
	End      time.Time
	Resumed  int
	Drained  bool // not all jobs ran, because the caller did not want it
	Notes    []string
}

// Run runs all jobs. The error says that the batch could not go on, as without
// its journal; what became of the jobs is in the summary in any case. A
// canceled ctx kills the jobs that run; they count as not run.
func Run(ctx context.Context, o Options) (*Summary, error) {
	r := &runner{o: &o, ctx: ctx, sum: &Summary{Outcomes: make([]Outcome, len(o.Batch.Jobs)), Start: time.Now()}}
	err := r.prepare()
	if err == nil {
		r.launcher = newLauncher(o.Batch, &o, r.state)
		r.loop()
		err = errors.Join(r.failure, r.launcher.close())
	}
	if r.journal != nil {
		err = errors.Join(err, r.journal.Close())
	}
	r.sum.End = time.Now()
	return r.sum, err
}

// A runner is one run of a batch.
type runner struct {
	o        *Options
	ctx      context.Context
	sum      *Summary
	launcher *launcher
	store    *store
	journal  *journal.Journal
	digests  *digester
	hashes   hashes

	queue   *schedule.Queue
	waits   []int32   // jobs that must still pass, by job
	wanted  [][]int32 // jobs that wait for it, by job
	state   []state
	left    map[string]map[string]string // outputs by id of the job
	failed  map[string]bool              // families, or combinations of them, that stop
	running int
	shown   int // outcomes with output
	done    chan finished
	failure error
}

// A state says where a job stands.
type state uint8

const (
	waiting state = iota
	started
	over
)

type finished struct {
	job    int
	record *Record
	err    error // of the batch, not of the job
}

// loop starts and finishes jobs until there are none left, or no more may
// start.
func (r *runner) loop() {
	drain, canceled := r.o.Drain, r.ctx.Done()
	for {
		r.startReady()
		if r.running == 0 {
			return
		}
		select {
		case f := <-r.done:
			r.finish(f)
		case <-drain:
			r.sum.Drained, drain = true, nil
		case <-canceled:
			r.sum.Drained, canceled = true, nil // the launches end by themselves
		}
	}
}

// startReady starts what is ready and fits.
func (r *runner) startReady() {
	for !r.sum.Drained && r.failure == nil {
		job, cpu, ok := r.queue.Next()
		if !ok {
			return
		}
		r.start(job, cpu)
	}
}

func (r *runner) start(job, cpu int) {
	if r.state[job] == over { // skipped while it was in the queue
		r.queue.Done(job)
		return
	}
	r.state[job] = started
	r.running++
	if r.o.Started != nil {
		r.o.Started(job)
	}
	sources := r.sources(r.o.Batch.Jobs[job])
	go func() {
		record, err := r.run(job, cpu, sources)
		r.done <- finished{job, record, err}
	}()
}

// sources are the hashes of the outputs that a job takes.
func (r *runner) sources(j *jobspec.Instance) map[jobspec.Output]string {
	if len(j.From) == 0 {
		return r.o.Sources
	}
	all := make(map[jobspec.Output]string, len(j.From))
	for o, from := range j.From {
		_, name := o.Split()
		all[o] = r.left[r.o.Batch.Jobs[from].ID][name]
	}
	return all
}

// finish takes a record into the journal and settles what hangs on it. Where
// nothing does, another job starts before that: its launch and the writing go
// side by side.
func (r *runner) finish(f finished) {
	r.running--
	r.queue.Done(f.job)
	if f.err == nil && len(r.wanted[f.job]) == 0 && r.o.Batch.Jobs[f.job].StopOn != "failure" {
		r.startReady()
	}
	switch {
	case f.err != nil:
		r.fail(f.err)
	case f.record.Entry.Code == "":
		r.state[f.job] = waiting // canceled: it did not run
	default:
		var err error
		if f.record.Entry.Replay, err = r.replay(f.job); err != nil {
			r.fail(err)
			return
		}
		r.keep(f.record)
		r.settle(f.job, f.record)
	}
}

// keep writes the record to the journal, from where it is delivered.
func (r *runner) keep(record *Record) {
	line, err := json.Marshal(record)
	if err != nil {
		r.fail(fmt.Errorf("bug: a record cannot be encoded, please report: %w", err))
		return
	}
	if r.journal == nil {
		r.deliver(line)
		return
	}
	if err := r.journal.Append(line); err != nil {
		r.fail(fmt.Errorf("the journal cannot be written, and without it no job counts as done: %w", err))
	}
}

func (r *runner) deliver(line []byte) {
	if r.o.Result != nil {
		r.o.Result(line)
	}
}

// fail ends the batch: no further job starts.
func (r *runner) fail(err error) {
	if r.failure == nil {
		r.failure = err
	}
}
