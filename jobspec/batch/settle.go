package batch

import (
	"maps"
	"strings"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox"
)

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
	line, err := encode(record)
	if err != nil {
		r.fail(err)
		return
	}
	r.keep(line)
	r.settle(job, record)
}

// unrun is the result of a job that was not launched.
func unrun(argv []string, v sandbox.Verdict) *sandbox.Result {
	return &sandbox.Result{
		Version: 1, Jailrun: sandbox.Version, StartedAt: time.Now(), Argv: append([]string{}, argv...),
		Verdict: v, Limits: []sandbox.Enforced{},
	}
}
