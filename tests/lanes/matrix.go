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
	rows  map[string]map[string]string // feature, lane: "yes", "–"
}

// features takes what TestFeatures has logged in each lane.
func features(runs []*laneRun) *matrix {
	m := &matrix{}
	for _, r := range runs {
		if r.outcomes == nil {
			m.missing(r.lane)
		}
		for _, o := range r.outcomes {
			m.note(r.lane, r.kernel, o.tally.logged)
		}
	}
	return m
}

// note reads the lines that TestFeatures logs: feature, true or false, reason.
func (m *matrix) note(lane, kernel string, lines []string) {
	if len(lines) == 0 {
		return
	}
	m.lanes, m.heads = append(m.lanes, lane), append(m.heads, kernel)
	if m.rows == nil {
		m.rows = map[string]map[string]string{}
	}
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
	m.lanes, m.heads = append(m.lanes, lane), append(m.heads, lane+": not run")
}

// table prints features that differ between kernels, in Markdown.
func (m *matrix) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---%s|\n", strings.Join(m.heads, " | "), strings.Repeat("|---", len(m.heads)))
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
