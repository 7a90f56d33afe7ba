package batch

import (
	"fmt"
	"slices"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/check"
	"github.com/jailrun/jailrun/sandbox"
)

// code is the judge's verdict on how a run ended. Accepted means that it ended
// well and what it wrote is still to be judged.
func code(r *sandbox.Result) (jobspec.Code, string) {
	switch r.Verdict {
	case sandbox.Exited:
		if r.ExitCode != nil && *r.ExitCode == 0 {
			return jobspec.Accepted, ""
		}
		if r.ExitCode != nil {
			return jobspec.RuntimeError, fmt.Sprintf("exit status %d", *r.ExitCode)
		}
		return jobspec.RuntimeError, "exited"
	case sandbox.CPUTime, sandbox.WallTime, sandbox.CPUShare:
		return jobspec.TimeLimit, r.Cause
	case sandbox.MemoryLimit:
		return jobspec.MemoryLimit, r.Cause
	case sandbox.OutputLimit, sandbox.DiskLimit:
		return jobspec.OutputLimit, r.Cause
	case sandbox.Signaled, sandbox.Syscall:
		return jobspec.RuntimeError, r.Cause
	case sandbox.NotStarted:
		// Its own program is what cannot be executed: what a compiler made of
		// it, or a line with #! of its own.
		return jobspec.RuntimeError, cause(r)
	}
	return jobspec.Internal, cause(r)
}

func cause(r *sandbox.Result) string {
	if r.Error != nil {
		return r.Error.Text
	}
	return r.Cause
}

// judge puts the verdict into the entry.
func (e *Entry) judge(j *jobspec.Instance, c jobspec.Code, f check.Finding) {
	switch {
	case c == jobspec.Accepted && !f.OK:
		c = jobspec.WrongAnswer
	case c != jobspec.Accepted && c != jobspec.Internal && j.Step == "compile":
		c = jobspec.CompileError
	}
	e.Code, e.Message = c, f.Message
	e.Passed = expected(j, c)
	e.Group = j.Group
	if j.Points == nil {
		return
	}
	got := 0.0
	switch {
	case c == jobspec.Accepted && f.Score == nil:
		got = *j.Points
	case f.Score != nil && c != jobspec.Internal:
		got = min(*f.Score, 1) * *j.Points
	}
	e.Points, e.Of = &got, j.Points
}

func expected(j *jobspec.Instance, c jobspec.Code) bool {
	if len(j.Expect) == 0 {
		return c == jobspec.Accepted
	}
	return slices.Contains(j.Expect, c)
}
