package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/journal"
	"github.com/jailrun/jailrun/jobspec/schedule"
	"github.com/jailrun/jailrun/sandbox"
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
	// Network makes the network that a job asks for, from flags of jailrun as
	// [jobspec.Flags.Network] returns them; nil makes such a job fail.
	Network func(asked []string) sandbox.Network
	// ImportImage: see [sandbox.Cmd].
	ImportImage func(ctx context.Context, source string) (id string, err error)
	// Evacuate: see [sandbox.Cmd].
	Evacuate bool
	// Fresh takes no outputs of earlier runs instead of a run.
	Fresh bool
	// Cold launches every job by itself, without a pool.
	Cold bool

	// Sources are inputs that come from no job of the batch, by hash.
	Sources map[jobspec.Output]string

	// Started and Finished tell of the progress, one call at a time, and no job
	// starts before they return. Finished also tells of jobs that were skipped,
	// and of those that a journal held.
	Started  func(job int)
	Finished func(job int, o *Outcome)
	// Result is given every record as one line of JSON, when it is on the
	// disk; those of the journal first. It is called one at a time, and line is
	// valid until it returns.
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
		r.work()
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
	// Not changed while jobs run, or by itself safe.
	o        *Options
	ctx      context.Context
	sum      *Summary
	launcher *launcher
	store    *store
	journal  *journal.Journal
	digests  *digester
	hashes   hashes
	mu       sync.Mutex // guards what follows, once jobs run
	queue    *schedule.Queue
	waits    []int32   // jobs that must still pass, by job
	wanted   [][]int32 // jobs that wait for it, by job
	state    []state
	left     map[string]map[string]string // outputs by id of the job
	failed   map[string]bool              // families, or combinations of them, that stop
	shown    int                          // outcomes with output
	failure  error
	workers  sync.WaitGroup
}

// A state says where a job stands.
type state uint8

const (
	waiting state = iota
	started
	over
)

// A turn is one job that starts, with what it may use.
type turn struct {
	job     int
	cpu     int
	sources map[jobspec.Output]string
}

// work runs jobs until no further one may start.
func (r *runner) work() {
	r.mu.Lock()
	r.hire()
	r.mu.Unlock()
	r.workers.Wait()
	r.sum.Drained = r.stopped() && slices.Contains(r.state, waiting)
}

// stopped reports whether the caller wants no further job to start.
func (r *runner) stopped() bool {
	select {
	case <-r.o.Drain:
		return true
	case <-r.ctx.Done():
		return true
	default:
		return false
	}
}

// hire starts a worker for each job that is ready and fits.
func (r *runner) hire() {
	for {
		t, ok := r.next()
		if !ok {
			return
		}
		r.workers.Go(func() { r.turns(t) })
	}
}

// next takes the job that starts now.
func (r *runner) next() (turn, bool) {
	for r.failure == nil && !r.stopped() {
		job, cpu, ok := r.queue.Next()
		if !ok {
			break
		}
		if r.state[job] == over { // skipped while it was in the queue
			r.queue.Done(job)
			continue
		}
		r.state[job] = started
		if r.o.Started != nil {
			r.o.Started(job)
		}
		return turn{job, cpu, r.sourcesOf(r.o.Batch.Jobs[job])}, true
	}
	return turn{}, false
}

// turns runs one job after another, as long as there is one to start: a worker
// of its own for each would cost more than to settle a job.
func (r *runner) turns(t turn) {
	for ok := true; ok; {
		record, err := r.run(t)
		var line []byte
		if err == nil && record.Entry.Code != "" {
			line, err = encode(record)
		}
		r.mu.Lock()
		r.queue.Done(t.job)
		switch {
		case err != nil:
			r.fail(err)
		case line == nil:
			r.state[t.job] = waiting // canceled: it did not run
		default:
			r.keep(line)
			r.settle(t.job, record)
		}
		if t, ok = r.next(); ok {
			r.hire()
		}
		r.mu.Unlock()
	}
}

// sourcesOf are the hashes of the outputs that a job takes.
func (r *runner) sourcesOf(j *jobspec.Instance) map[jobspec.Output]string {
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

func encode(record *Record) ([]byte, error) {
	line, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("bug: a record cannot be encoded, please report: %w", err)
	}
	return line, nil
}

// keep writes a record to the journal, from where it is delivered.
func (r *runner) keep(line []byte) {
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
