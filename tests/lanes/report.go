package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// printer lets several lanes print, each text whole.
type printer struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *printer) write(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.w.Write(b)
}

func (p *printer) printf(format string, args ...any) { p.write(fmt.Appendf(nil, format, args...)) }

// slowTest is a test, not a subtest, that took long.
type slowTest struct {
	name string
	took time.Duration
}

// slow is the time from which a test is named in the table of times.
const slow = 3 * time.Second

// times prints what each package took in each lane, with its slow tests: where a lane's time has gone.
func times(runs []*laneRun) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-18s", "seconds")
	for _, r := range runs {
		fmt.Fprintf(&b, " %9s", r.lane)
	}
	b.WriteByte('\n')
	for _, e := range packages() {
		pkg := strings.TrimPrefix(e.pkg, "./")
		line, named, ran := fmt.Sprintf("%-18s", pkg), map[string]time.Duration{}, false
		for _, r := range runs {
			i := slices.IndexFunc(r.outcomes, func(o outcome) bool { return o.pkg == pkg })
			if i < 0 {
				line += fmt.Sprintf(" %9s", "–")
				continue
			}
			ran = true
			line += fmt.Sprintf(" %9.1f", r.outcomes[i].took.Seconds())
			for _, t := range r.outcomes[i].tally.slow {
				named[t.name] = max(named[t.name], t.took)
			}
		}
		if ran {
			b.WriteString(line + slowest(named) + "\n")
		}
	}
	return b.String()
}

// slowest names at most three tests, the slowest first.
func slowest(named map[string]time.Duration) string {
	var all []slowTest
	for name, took := range named {
		all = append(all, slowTest{name, took})
	}
	slices.SortFunc(all, func(a, b slowTest) int { return cmp.Compare(b.took, a.took) })
	var b strings.Builder
	for _, t := range all[:min(3, len(all))] {
		fmt.Fprintf(&b, "  %s %.1f", t.name, t.took.Seconds())
	}
	return b.String()
}
