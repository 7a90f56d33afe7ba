package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// matrix collects what each lane's kernel has, as TestFeatures of tests/lane found it.
type matrix struct {
	lanes []string
	heads []string
	tests []string                     // of each lane: passed, failed, skipped
	rows  map[string]map[string]string // feature, lane: "yes", "–"
}

// features takes the counts of each lane and what TestFeatures has logged there.
func features(runs []*laneRun) *matrix {
	m := &matrix{rows: map[string]map[string]string{}}
	for _, r := range runs {
		if r.outcomes == nil {
			m.missing(r.lane)
			continue
		}
		var sum tally
		for _, o := range r.outcomes {
			sum.add(o.tally)
			m.note(r.lane, o.tally.logged)
		}
		m.lanes, m.heads = append(m.lanes, r.lane), append(m.heads, r.kernel)
		m.tests = append(m.tests, fmt.Sprintf("%d / %d / %d", sum.passed, sum.failed, sum.skipped))
	}
	return m
}

// note reads the lines that TestFeatures logs: feature, true or false, reason.
func (m *matrix) note(lane string, lines []string) {
	line := regexp.MustCompile(`: (\S+) +(true|false)`)
	for _, l := range lines {
		f := line.FindStringSubmatch(l)
		if f == nil {
			continue
		}
		if m.rows[f[1]] == nil {
			m.rows[f[1]] = map[string]string{}
		}
		m.rows[f[1]][lane] = map[string]string{"true": "yes", "false": "–"}[f[2]]
	}
}

// missing makes an empty column.
func (m *matrix) missing(lane string) {
	m.lanes, m.heads, m.tests = append(m.lanes, lane), append(m.heads, lane+": not run"), append(m.tests, "")
}

// table prints the counts, and the features that differ between kernels, in Markdown.
func (m *matrix) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---%s|\n", strings.Join(m.heads, " | "), strings.Repeat("|---", len(m.heads)))
	fmt.Fprintf(&b, "| tests passed / failed / skipped | %s |\n", strings.Join(m.tests, " | "))
	for _, feature := range slices.Sorted(maps.Keys(m.rows)) {
		var cells []string
		for _, lane := range m.lanes {
			cells = append(cells, m.rows[feature][lane])
		}
		if len(slices.Compact(slices.Clone(cells))) > 1 {
			fmt.Fprintf(&b, "| %s | %s |\n", feature, strings.Join(cells, " | "))
		}
	}
	return b.String()
}
