package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

const skipsFile = "tests/lanes/skips.txt"

// skips is the table of skipped tests: lines of lane, package, number. What is not in it is 0. A test that wants a
// program which the host has not installed, and says so, is not among them.
type skips struct{ n map[[2]string]int }

// get is the number of a lane. Another kernel of lane qemu, qemu-6.12, has that of qemu unless it has a line of its own.
func (s *skips) get(lane, pkg string) int {
	if n, ok := s.n[[2]string{lane, pkg}]; ok {
		return n
	}
	base, _, _ := strings.Cut(lane, "-")
	return s.n[[2]string{base, pkg}]
}

func (s *skips) set(lane, pkg string, n int) { s.n[[2]string{lane, pkg}] = n }

// take puts the numbers of runs without failures into the table; what a lane no longer runs leaves it.
func (s *skips) take(runs []*laneRun) {
	for _, r := range runs {
		if !r.comparable() || !r.ok {
			continue
		}
		maps.DeleteFunc(s.n, func(k [2]string, _ int) bool { return k[0] == r.lane && !runsIn(k[0], k[1]) })
		for _, o := range r.outcomes {
			s.set(r.lane, o.pkg, o.tally.holes())
		}
	}
}

func readSkips(path string) (*skips, error) {
	s := &skips{map[[2]string]int{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	for line := bufio.NewScanner(bytes.NewReader(b)); line.Scan(); {
		var lane, pkg string
		var n int
		if line.Text() == "" || line.Text()[0] == '#' {
			continue
		}
		if _, err := fmt.Sscan(line.Text(), &lane, &pkg, &n); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, line.Text(), err)
		}
		s.set(lane, pkg, n)
	}
	return s, nil
}

func (s *skips) write(path string) error {
	var b bytes.Buffer
	b.WriteString("# Skipped tests of each lane and package; go run ./tests/lanes -update LANE… writes this.\n")
	for _, k := range slices.SortedFunc(maps.Keys(s.n), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		if s.n[k] > 0 {
			fmt.Fprintf(&b, "%s %s %d\n", k[0], k[1], s.n[k])
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
