package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// tally counts tests and subtests.
type tally struct {
	passed, failed, skipped int
	reasons                 []string // what the skipped tests printed
	logged                  []string // what TestFeatures of tests/lane printed
	loose                   []string // the end of what belongs to no test, or to one that did not end
}

func (t *tally) add(o tally) {
	t.passed += o.passed
	t.failed += o.failed
	t.skipped += o.skipped
}

func (t tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// event is one line of test2json.
type event struct{ Action, Test, Output string }

// count reads events to the end and prints the output of tests that failed. A test that did not end, in a panic or a
// timeout, has failed.
func count(r io.Reader, verbose bool) tally {
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
				_, _ = os.Stdout.WriteString(e.Output)
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
		switch e.Action {
		case "pass":
			t.passed++
			if e.Test == "TestFeatures" {
				t.logged = said[e.Test]
			}
		case "skip":
			t.skipped++
			t.reasons = append(t.reasons, strings.Join(said[e.Test], ""))
		case "fail":
			t.failed++
			if !verbose {
				fmt.Print(strings.Join(said[e.Test], ""))
			}
		default:
			continue
		}
		delete(said, e.Test)
	}
}
