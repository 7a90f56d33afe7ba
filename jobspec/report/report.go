// Package report tells what became of a batch in the forms that other programs
// and people read. All that a job file names and a job prints is hostile here:
// it becomes text of the form in question, never markup, a command or an
// escape sequence.
package report

import (
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
)

// Data is what all reports are made of.
type Data struct {
	Name       string
	Start, End time.Time
	Jobs       []Job
	Total      *batch.Total
}

// A Job is one row.
type Job struct {
	ID, Family string
	batch.Outcome
}

// New collects what reports need.
func New(b *jobspec.Batch, s *batch.Summary, t *batch.Total) *Data {
	d := &Data{Name: b.Name, Start: s.Start, End: s.End, Total: t}
	for i, j := range b.Jobs {
		d.Jobs = append(d.Jobs, Job{j.ID, j.Family, s.Outcomes[i]})
	}
	return d
}

// Ran tells whether the job has an outcome.
func (j *Job) Ran() bool { return j.Code != "" }

// skipped is neither good nor bad.
func (j *Job) skipped() bool { return j.Code == jobspec.Skipped || !j.Ran() }

// reason is the message, or what the verdict says by itself.
func (j *Job) reason() string {
	switch {
	case !j.Ran():
		return "not run"
	case j.Message == "":
		return string(j.Code)
	}
	return string(j.Code) + ": " + j.Message
}
