package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
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

// prepare makes what the loop works on, and takes over what a journal holds.
func (r *runner) prepare() (err error) {
	jobs := r.o.Batch.Jobs
	if r.store, err = openStore(r.o.State); err != nil {
		return err
	}
	r.digests = newDigester(r.o.Batch, r.o.Load)
	for i := range jobs {
		if _, err := r.digests.of(i); err != nil {
			return err
		}
	}
	r.waits, r.wanted = make([]int32, len(jobs)), make([][]int32, len(jobs))
	r.state, r.failed = make([]state, len(jobs)), map[string]bool{}
	r.hashes.known, r.hashes.root = map[string]string{}, map[string]string{}
	for o, sum := range r.o.Sources {
		if !r.store.has(sum) {
			return fmt.Errorf("the input %s, %s, is not in the store any more; run the batch that makes it", o, sum)
		}
	}
	r.left, r.done = map[string]map[string]string{}, make(chan finished)
	claims := make([]schedule.Claim, len(jobs))
	for i, j := range jobs {
		claims[i] = Claim(j)
		if err := r.o.Budget.Fits(claims[i]); err != nil {
			return fmt.Errorf("%s: %w", j.ID, err)
		}
		r.waits[i] = int32(len(j.Needs))
		for _, n := range j.Needs {
			r.wanted[n] = append(r.wanted[n], int32(i))
		}
	}
	r.queue = schedule.New(r.o.Budget, claims)
	taken, err := r.openJournal()
	if err != nil {
		return err
	}
	for _, t := range taken {
		r.state[t.job] = started // neither to be started nor to be skipped
	}
	for i := range jobs {
		if r.waits[i] == 0 && r.state[i] == waiting {
			r.queue.Ready(i)
		}
	}
	for _, t := range taken {
		r.settle(t.job, t.record)
	}
	return nil
}

// Claim is what a job may use, for the schedule.
func Claim(j *jobspec.Instance) schedule.Claim {
	c := schedule.Claim{Pin: j.Pin != nil && *j.Pin}
	if j.Priority != nil {
		c.Priority = *j.Priority
	}
	add := func(f *jobspec.Flags) {
		if f.Mem != nil {
			c.Memory += int64(*f.Mem)
		}
		if f.Swap != nil {
			c.Memory += int64(*f.Swap)
		}
		if f.CPU != nil {
			c.CPU += int64(*f.CPU)
		}
	}
	if j.Interact == nil {
		add(&j.Flags)
		return c
	}
	for k := range j.Interact.Sides {
		flags := j.Interact.Sides[k].Flags.Over(j.Flags)
		add(&flags)
	}
	c.Slots = len(j.Interact.Sides)
	return c
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

// settle lets the jobs start that waited for this one, or skips them.
func (r *runner) settle(job int, record *Record) {
	j := r.o.Batch.Jobs[job]
	r.state[job] = over
	r.sum.Outcomes[job] = record.outcome()
	if !record.Entry.Passed && r.shown < mostShown {
		r.shown++
		r.sum.Outcomes[job].show(&record.Entry)
	}
	if len(record.Entry.Outputs) > 0 {
		r.left[j.ID] = record.Entry.Outputs
	}
	if r.o.Finished != nil {
		r.o.Finished(job, &r.sum.Outcomes[job])
	}
	ok := record.Entry.Code == jobspec.Accepted || record.Entry.Passed && j.Step != "compile"
	for _, w := range r.wanted[job] {
		if r.waits[w]--; !ok {
			r.skip(int(w), record)
		} else if r.waits[w] == 0 && r.state[w] == waiting {
			r.queue.Ready(int(w))
		}
	}
	if !record.Entry.Passed && j.StopOn == "failure" {
		r.stop(j, record)
	}
}

// stop skips what is left beside a job that did not pass: the other cases of
// the same combination, or without cases the other combinations.
func (r *runner) stop(j *jobspec.Instance, record *Record) {
	key := j.Family
	if j.Case != "" {
		key = strings.TrimSuffix(j.ID, j.Case)
	}
	if r.failed[key] {
		return
	}
	r.failed[key] = true
	for i, o := range r.o.Batch.Jobs {
		if o.Family == j.Family && (j.Case == "" || maps.Equal(o.Axes, j.Axes)) {
			r.skip(i, record)
		}
	}
}

// skip settles a job that will not run, because of another.
func (r *runner) skip(job int, because *Record) {
	if r.state[job] != waiting {
		return
	}
	r.state[job] = over
	j := r.o.Batch.Jobs[job]
	c, why := jobspec.Skipped, "not run: "+because.Entry.ID+" is "+string(because.Entry.Code)
	switch because.Entry.Code {
	case jobspec.CompileError:
		c, why = jobspec.CompileError, because.Entry.ID+" failed"
		if because.Verdict == sandbox.Canceled { // skipped itself
			why = because.Entry.Message
		}
	case jobspec.Internal:
		c = jobspec.Internal
	}
	record := &Record{Result: unrun(j.Run, sandbox.Canceled), Entry: r.entry(job)}
	record.Cause = why
	record.Entry.Code, record.Entry.Message, record.Entry.Passed = c, why, c == jobspec.CompileError && expected(j, c)
	record.Entry.Group = j.Group
	if j.Points != nil {
		none := 0.0
		record.Entry.Points, record.Entry.Of = &none, j.Points
	}
	r.keep(record)
	r.settle(job, record)
}

// unrun is the result of a job that was not launched.
func unrun(argv []string, v sandbox.Verdict) *sandbox.Result {
	return &sandbox.Result{
		Version: 1, Jailrun: sandbox.Version, StartedAt: time.Now(), Argv: append([]string{}, argv...),
		Verdict: v, Limits: []sandbox.Enforced{},
	}
}
