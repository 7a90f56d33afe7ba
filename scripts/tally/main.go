// Command tally reads the output of go test -json and prints what a person
// wants of it: what failed, in full, each package in a line, every skipped test
// with its reason, and the counts. It fails if a test did, or if there was none.
//
//	go test -json ./... | go run ./scripts/tally
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	t := newTally(os.Stdout)
	err := t.read(os.Stdin)
	t.close()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
	}
	if err != nil || t.broken || t.failed > 0 || t.passed == 0 {
		os.Exit(1)
	}
}

// event is one line of test2json, or of a build that failed.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type key struct{ pkg, test string }

// tally counts tests and subtests.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	packages                int
	tests                   map[string]int // of each package; they run side by side
	broken                  bool           // a package failed, by whatever means
	said                    map[key][]string
	skips                   []string
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, tests: map[string]int{}, said: map[key][]string{}}
}

func (t *tally) read(r io.Reader) error {
	for d := json.NewDecoder(r); ; {
		var e event
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		t.take(e)
	}
}

func (t *tally) take(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output":
		t.said[k] = append(t.said[k], e.Output)
		return
	case "build-output":
		fmt.Fprint(t.out, e.Output)
		return
	case "build-fail":
		t.broken = true
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	defer delete(t.said, k)
	if e.Test == "" {
		t.endPackage(e)
		return
	}
	t.tests[e.Package]++
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		fmt.Fprint(t.out, strings.Join(t.said[k], ""))
	case "skip":
		t.skipped++
		t.skips = append(t.skips, e.Package+"."+e.Test+": "+reason(t.said[k]))
	}
}

// endPackage prints the line of a package. What a package printed outside of
// its tests is of interest only if it failed: a panic, a leak found at the end.
func (t *tally) endPackage(e event) {
	here := t.tests[e.Package]
	switch {
	case e.Action == "fail":
		t.broken = true
		fmt.Fprint(t.out, strings.Join(t.said[key{pkg: e.Package}], ""))
		t.unfinished(e.Package)
		fmt.Fprintf(t.out, "FAIL %s\n", e.Package)
	case here > 0:
		t.packages++
		fmt.Fprintf(t.out, "ok   %s (%d tests, %.1fs)\n", e.Package, here, e.Elapsed)
	}
}

// unfinished prints what the tests had said that a package did not see the end
// of: a time-out ends it with the stacks of all goroutines, which belong to
// whichever test came last.
func (t *tally) unfinished(pkg string) {
	var tests []string
	for k := range t.said {
		if k.pkg == pkg && k.test != "" {
			tests = append(tests, k.test)
		}
	}
	slices.Sort(tests)
	for _, test := range tests {
		k := key{pkg, test}
		fmt.Fprintf(t.out, "unfinished: %s\n%s", test, strings.Join(t.said[k], ""))
		delete(t.said, k)
	}
}

// reason is what a skipped test said, without the lines of the go tool.
func reason(lines []string) string {
	var said []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- ") {
			said = append(said, l)
		}
	}
	return strings.Join(said, " ")
}

func (t *tally) close() {
	for _, s := range t.skips {
		fmt.Fprintln(t.out, "skip", s)
	}
	fmt.Fprintf(t.out, "tests: %d passed, %d failed, %d skipped, in %d packages\n", t.passed, t.failed, t.skipped, t.packages)
}
