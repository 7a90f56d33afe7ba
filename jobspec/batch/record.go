package batch

import (
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox"
)

// A Record is what became of one job: the result of its run, as jailrun --result
// writes it, and the entry of the batch.
type Record struct {
	*sandbox.Result
	Entry Entry `json:"batch"`
}

// An Entry is the part of a Record that is the batch's.
type Entry struct {
	ID     string            `json:"id"`
	Job    string            `json:"job"` // the name under jobs:
	Case   string            `json:"case,omitempty"`
	Axes   map[string]string `json:"matrix,omitempty"`
	Digest string            `json:"digest"` // of all that the job was made of

	Code     jobspec.Code `json:"verdict"`
	Passed   bool         `json:"passed"`
	Message  string       `json:"message,omitempty"`
	Points   *float64     `json:"points,omitempty"` // got; nil if there are none to get
	Of       *float64     `json:"of,omitempty"`     // that there were to get
	Group    string       `json:"group,omitempty"`
	Attempts int          `json:"attempts,omitempty"` // if more than one
	CPU      *int         `json:"cpu,omitempty"`      // that was the job's own
	Cached   bool         `json:"cached,omitempty"`   // outputs are those of an earlier run

	Start   time.Time         `json:"start"`
	End     time.Time         `json:"end"`
	Stdout  *Text             `json:"stdout,omitempty"`
	Stderr  *Text             `json:"stderr,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"` // name: SHA-256

	Interaction *Interaction `json:"interaction,omitempty"`
	Replay      *Replay      `json:"replay,omitempty"`
}

// Text is the start of an output, and the hash of all of it.
type Text struct {
	Head   string `json:"head"`
	SHA256 string `json:"sha256"`
}

// An Outcome is what stays in memory of a record.
type Outcome struct {
	Code       jobspec.Code
	Verdict    sandbox.Verdict
	Passed     bool
	Cached     bool
	Resumed    bool // from the journal
	Message    string
	Points, Of float64 // -1: none
	Start, End time.Time
	Wall, CPU  time.Duration
	Memory     int64 // peak in bytes; -1 unknown
	// Out and Err are the start of what a job that did not pass has printed;
	// only of the first thousand of them.
	Out, Err string
}

// outcome is the record without what only reports show.
func (r *Record) outcome() Outcome {
	o := Outcome{
		Code: r.Entry.Code, Verdict: r.Verdict, Passed: r.Entry.Passed, Cached: r.Entry.Cached,
		Message: clip(r.Entry.Message, 300),
		Points:  -1, Of: -1, Start: r.Entry.Start, End: r.Entry.End, Wall: r.Wall, Memory: -1,
	}
	if r.Entry.Points != nil {
		o.Points = *r.Entry.Points
	}
	if r.Entry.Of != nil {
		o.Of = *r.Entry.Of
	}
	if r.Result.CPU != nil {
		o.CPU = r.Result.CPU.Total
	}
	if r.Memory != nil && r.Memory.Peak != nil {
		o.Memory = *r.Memory.Peak
	}
	return o
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// final tells whether a resumed batch takes the record as it is. What jailrun
// itself failed at, and what was skipped for another job, is decided anew.
func (e *Entry) final() bool {
	return e.Code != jobspec.Internal && e.Code != jobspec.Skipped && e.Code != ""
}

// mostShown bounds the outcomes that carry output, and shownOutput each.
const (
	mostShown   = 1000
	shownOutput = 2 << 10
)

func (o *Outcome) show(e *Entry) {
	if e.Stdout != nil {
		o.Out = clip(e.Stdout.Head, shownOutput)
	}
	if e.Stderr != nil {
		o.Err = clip(e.Stderr.Head, shownOutput)
	}
}
