package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

//go:embed report.html
var page string

// HTML writes the report as one page that needs nothing else: a distribution of
// times for each contender, and the stages of a launch as a flame bar.
func (r *Report) HTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"ms": ms, "join": func(l []string) string { return strings.Join(l, "; ") },
		"ratio": func(x float64) string { return fmt.Sprintf("%.2f", x) },
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		*Report
		Rows   []row
		Ticks  []tick
		Tracks []track
		Scale  []tick
	}{r, r.rows(), logTicks(r.axis()), r.tracks(), r.scale()})
}

const (
	plotWidth = 640
	plotBins  = 80
	rowHeight = 34
)

// A row is the distribution of one contender, on a logarithmic axis.
type row struct {
	Sum
	Path string  // of an SVG path: the outline of a histogram
	At   float64 // where the median stands
}

type tick struct {
	X    float64
	Text string
}

// axis returns the logarithms between which all samples lie.
func (r *Report) axis() (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, c := range r.Contenders {
		for _, s := range c.Samples {
			l := math.Log10(float64(max(s, 1)))
			lo, hi = min(lo, l), max(hi, l)
		}
	}
	return lo - 0.02, hi + 0.02
}

func (r *Report) rows() []row {
	lo, hi := r.axis()
	x := func(d time.Duration) float64 { return (math.Log10(float64(max(d, 1))) - lo) / (hi - lo) }
	rows := make([]row, len(r.Contenders))
	for i, c := range r.Contenders {
		var bins [plotBins]int
		for _, s := range c.Samples {
			bins[min(int(x(s)*plotBins), plotBins-1)]++
		}
		most := float64(max(slices.Max(bins[:]), 1))
		var p strings.Builder
		fmt.Fprintf(&p, "M0 %d", rowHeight)
		for b, n := range bins {
			y := rowHeight * (1 - 0.9*float64(n)/most)
			fmt.Fprintf(&p, "L%.1f %.1fL%.1f %.1f", float64(b)*plotWidth/plotBins, y, float64(b+1)*plotWidth/plotBins, y)
		}
		fmt.Fprintf(&p, "L%d %dZ", plotWidth, rowHeight)
		rows[i] = row{c, p.String(), x(c.P50) * plotWidth}
	}
	return rows
}

// logTicks marks 1, 2 and 5 of each decade.
func logTicks(lo, hi float64) []tick {
	var list []tick
	for e := math.Floor(lo); e <= hi; e++ {
		for _, m := range []float64{1, 2, 5} {
			if l := e + math.Log10(m); l >= lo && l <= hi {
				list = append(list, tick{(l - lo) / (hi - lo) * plotWidth, time.Duration(math.Round(math.Pow(10, l))).String()})
			}
		}
	}
	return list
}

// A track is one process of a launch.
type track struct {
	Name string
	Bars []bar
}

type bar struct {
	X, Width float64
	Text     string
	Label    string // what fits into it
	Hue      int
}

func (r *Report) length() time.Duration {
	var end time.Duration
	for _, s := range r.Stages {
		end = max(end, s.Start+s.Took)
	}
	return max(end, 1)
}

func (r *Report) tracks() []track {
	total := float64(r.length())
	var list []track
	hues := map[string]int{}
	for _, s := range r.Stages {
		if len(list) == 0 || list[len(list)-1].Name != s.Process {
			list = append(list, track{Name: s.Process})
		}
		if _, ok := hues[s.Stage]; !ok {
			hues[s.Stage] = len(hues) * 47 % 360
		}
		b := bar{
			X: float64(s.Start) / total * plotWidth, Width: max(float64(s.Took)/total*plotWidth, 0.5),
			Text: s.Stage + " " + s.Took.Round(time.Microsecond).String(), Hue: hues[s.Stage],
		}
		if b.Width > float64(7*len(s.Stage)) {
			b.Label = s.Stage
		}
		l := &list[len(list)-1]
		l.Bars = append(l.Bars, b)
	}
	return list
}

// scale marks the time axis of the lanes.
func (r *Report) scale() []tick {
	total := r.length()
	step := time.Duration(math.Pow(10, math.Floor(math.Log10(float64(total)))))
	if total/step < 4 {
		step /= 4
	}
	var list []tick
	for t := time.Duration(0); t <= total; t += step {
		list = append(list, tick{float64(t) / float64(total) * plotWidth, t.String()})
	}
	return list
}
