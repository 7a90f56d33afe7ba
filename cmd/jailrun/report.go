package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jailrun/jailrun/cmd/internal/sibling"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// sayError tells that jailrun failed, whoever says so.
func sayError(say *console, err error) {
	var usage *usageError
	var field *sandbox.FieldError
	var failure *sandbox.Error
	var other *sibling.Error
	switch {
	case errors.As(err, &usage):
		say.error(usage.text, usage.hint)
	case errors.As(err, &field) && field.Field == "command":
		say.error(field.Err.Error(), "")
	case errors.As(err, &field):
		hint := ""
		if errors.As(err, &failure) {
			hint = failure.Hint
		}
		say.error("--"+field.Error(), hint)
	case errors.As(err, &failure):
		say.error(failure.Error(), failure.Hint)
	case errors.As(err, &other):
		say.error(err.Error(), other.Hint())
	default:
		say.error(err.Error(), "")
	}
}

// sayOutcome says what a run that went as it should still has to say.
func sayOutcome(say *console, r *sandbox.Result, asked *words) {
	for _, n := range r.Notes {
		say.note(n)
	}
	if text := weaklyHeld(r); text != "" {
		say.note("watchdog tier: " + text + " (jailrun doctor says why, --require cgroup refuses it)")
	}
	for i := range r.Collected {
		if c := &r.Collected[i]; c.Skipped > 0 {
			say.note(skippedText(c))
		}
	}
	if n := r.Discarded; n != nil && *n > 0 && !asked.has("cwd") && !asked.has("copy-out") {
		say.note(filesWere(*n) + " (keep them: --cwd rw, or --copy-out)")
	}
	if r.Repeat != nil {
		say.note(repeatText(r.Repeat))
	}
	if r.Noise != nil {
		say.note(noiseText(r.Noise))
	}
	switch r.Verdict {
	case sandbox.Exited, sandbox.Signaled, sandbox.Canceled, sandbox.NotStarted, sandbox.ErrorVerdict:
		// It ended by itself or as its caller wished, or the error said it.
	default:
		say.verdict(verdictText(r), r.Hint)
	}
	if asked.has("trace-startup") && r.Startup != nil {
		for _, line := range startupText(r) {
			say.detail(line)
		}
	}
	if say.verbose {
		say.detail(summary(r))
	}
}

// weaklyHeld names the limits that the kernel does not hold, "" if there is
// none.
func weaklyHeld(r *sandbox.Result) string {
	var sampled, missing []string
	for _, l := range r.Limits {
		switch l.HoldsAgainst {
		case "mistakes":
			sampled = append(sampled, l.Name)
		case "nothing":
			missing = append(missing, l.Name)
		}
	}
	var parts []string
	if len(sampled) > 0 {
		parts = append(parts, strings.Join(sampled, ", ")+" held by sampling, which stops mistakes, not malice")
	}
	if len(missing) > 0 {
		parts = append(parts, strings.Join(missing, ", ")+" held by nobody")
	}
	return strings.Join(parts, "; ")
}

// filesWere tells of the files that a run wrote and nobody keeps. The library
// counts up to a bound.
func filesWere(n int) string {
	const bound = 10000
	switch {
	case n == 1:
		return "1 file written under . was discarded"
	case n >= bound:
		return strconv.Itoa(bound) + " or more files written under . were discarded"
	}
	return strconv.Itoa(n) + " files written under . were discarded"
}

// skippedText tells what a copy has left out.
func skippedText(c *sandbox.Collected) string {
	text := "--" + c.What + " " + quote(c.Target) + " left out " + strconv.Itoa(c.Skipped)
	if c.Skipped == 1 {
		text += " entry"
	} else {
		text += " entries"
	}
	return text + ": " + strings.Join(c.Why[:min(len(c.Why), 3)], ", ")
}

// verdictText is the verdict and its evidence: a word for scripts, then words
// for people.
func verdictText(r *sandbox.Result) string {
	if r.Cause == "" {
		return string(r.Verdict)
	}
	return string(r.Verdict) + ": " + r.Cause
}

// startupText has a line of sums and, below it, each stretch with its start.
func startupText(r *sandbox.Result) []string {
	s := r.Startup
	parts := []string{"startup " + milliseconds(r.Setup)}
	if s.Scope > 0 {
		parts = append(parts, "scope "+milliseconds(s.Scope))
	}
	for _, stage := range [...]struct {
		name string
		took time.Duration
	}{{"group", s.Group}, {"clone", s.Clone}, {"root", s.Root}, {"network", s.Network}, {"confine", s.Confine}, {"exec", s.Exec}, {"teardown", s.Teardown}} {
		if stage.name != "network" || r.Network != nil {
			parts = append(parts, stage.name+" "+milliseconds(stage.took))
		}
	}
	lines := []string{strings.Join(parts, ", ")}
	for _, t := range s.Stages {
		lines = append(lines, "startup "+t.Process+" "+t.Stage+" at "+milliseconds(t.Start)+" took "+milliseconds(t.Took))
	}
	return lines
}

// summary is the one line of -v at the end. What the kernel could not tell is
// left out.
func summary(r *sandbox.Result) string {
	text := verdictText(r)
	switch {
	case r.Verdict == sandbox.Exited && r.ExitCode != nil:
		text = "exited " + strconv.Itoa(*r.ExitCode)
	case r.Verdict == sandbox.Signaled && r.Signal != nil:
		text = "signal " + strconv.Itoa(*r.Signal)
	}
	text += ", wall " + milliseconds(r.Wall)
	if r.CPU != nil {
		text += ", cpu " + milliseconds(r.CPU.Total)
	}
	if r.Memory != nil && r.Memory.Peak != nil {
		text += ", memory " + limits.Size(*r.Memory.Peak).Human()
	}
	if r.Pids != nil && r.Pids.Peak != nil {
		text += ", pids " + strconv.FormatInt(*r.Pids.Peak, 10)
	}
	text += ", setup " + milliseconds(r.Setup)
	if r.Tier != "" {
		text += ", tier " + string(r.Tier)
	}
	return text
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64) + " ms"
}
