// Package hclogtrace lets a program that logs with hclog follow the runs of
// package sandbox. It stands apart because hclog alone adds a quarter to the
// start of a small program.
package hclogtrace

import (
	"github.com/hashicorp/go-hclog"

	"github.com/jailrun/jailrun/sandbox"
)

// New returns a function for [sandbox.Cmd.Trace] that logs each event at the
// level Debug, with the keys stage and, for events that have a length, took.
// The time is the logger's own, a moment after the event's. The function may
// be shared by several runs at the same time if l may, as those of hclog may.
// A nil l logs nothing.
func New(l hclog.Logger) func(sandbox.Event) {
	if l == nil {
		return nil // sandbox then builds no events at all
	}
	return func(e sandbox.Event) {
		if e.Took > 0 {
			l.Debug(e.Text, "stage", e.Stage, "took", e.Took)
			return
		}
		l.Debug(e.Text, "stage", e.Stage)
	}
}
