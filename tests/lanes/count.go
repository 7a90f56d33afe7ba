package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// tally counts tests and subtests.
type tally struct {
	passed, failed, skipped int
	reasons                 []string // what the skipped tests printed
	uninstalled             []string // those of the skipped tests that want a program this host has not installed
	logged                  []string // what TestFeatures of tests/lane printed
	slow                    []slowTest
	loose                   []string // the end of what belongs to no test, or to one that did not end
}

func (t *tally) add(o tally) {
	t.passed += o.passed
	t.failed += o.failed
	t.skipped += o.skipped
}

// holes is the number of skips that the lane itself is to blame for; it does not depend on the host's programs.
func (t tally) holes() int { return t.skipped - len(t.uninstalled) }

func (t tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// event is one line of test2json.
type event struct {
	Action, Test, Output string
	Elapsed              float64 // seconds
}

// count reads events to the end and prints to out the output of tests that failed, with verbose all of it. A test that did not end, in a panic or a
// timeout, has failed.
func count(r io.Reader, out io.Writer, verbose bool) tally {
	var t tally
	said := map[string][]string{}
	for d := json.NewDecoder(r); ; {
		var e event
		if err := d.Decode(&e); err != nil {
			for _, lines := range said {
				t.failed++
				t.loose = append(t.loose, lines...)
			}
			return t
		}
		if e.Action == "output" {
			if verbose {
				_, _ = io.WriteString(out, e.Output)
			}
			if e.Test == "" {
				t.loose = append(t.loose[max(0, len(t.loose)-100):], e.Output)
			} else {
				said[e.Test] = append(said[e.Test], e.Output)
			}
			continue
		}
		if e.Test == "" {
			continue
		}
		if took := time.Duration(e.Elapsed * float64(time.Second)); took >= slow && !strings.Contains(e.Test, "/") {
			t.slow = append(t.slow, slowTest{e.Test, took})
		}
		switch e.Action {
		case "pass":
			t.passed++
			if e.Test == "TestFeatures" {
				t.logged = said[e.Test]
			}
		case "skip":
			t.skipped++
			reason := strings.Join(said[e.Test], "")
			t.reasons = append(t.reasons, reason)
			if strings.Contains(reason, "is not installed") {
				t.uninstalled = append(t.uninstalled, e.Test)
			}
		case "fail":
			t.failed++
			if !verbose {
				fmt.Fprint(out, strings.Join(said[e.Test], ""))
			}
		default:
			continue
		}
		delete(said, e.Test)
	}
}
