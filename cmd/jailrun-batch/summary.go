package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
)

// printSummary tells what the batch came to: its groups, if it has any, and
// one line for all.
func printSummary(b *jobspec.Batch, s *batch.Summary, t *batch.Total) {
	for _, g := range t.Groups {
		say("group %s: %g of %g points, %d of %d cases AC", g.Name, g.Points, g.Of, g.Passed, g.Jobs)
	}
	text := fmt.Sprintf("%d of %d passed", t.Passed, len(b.Jobs))
	if list := counts(t); list != "" {
		text += " (" + list + ")"
	}
	if t.Scored {
		text += fmt.Sprintf(", %g of %g points", t.Points, t.Of)
	}
	if s.Resumed > 0 {
		text += fmt.Sprintf(", %d from the journal", s.Resumed)
	}
	if left := len(b.Jobs) - t.Ran; left > 0 {
		text += fmt.Sprintf(", %d not run; --resume goes on", left)
	}
	say("%s in %s", text, s.End.Sub(s.Start).Round(time.Millisecond))
}

// counts lists how often each verdict was given.
func counts(t *batch.Total) string {
	var parts []string
	for _, c := range [...]jobspec.Code{"AC", "WA", "TLE", "MLE", "OLE", "RE", "CE", "IE", "SK"} {
		if n := t.Counts[c]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c))
		}
	}
	return strings.Join(parts, ", ")
}
