package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/limits"
)

//go:embed page.html
var page string

// mostRows bounds what a browser is asked to lay out.
const mostRows = 2000

// HTML writes one page that needs nothing but itself: no script, no network.
// html/template escapes by context whatever comes from a job, and the policy
// in its head, default-src 'none', leaves nothing for what should slip through
// all the same.
func HTML(w io.Writer, d *Data) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, newView(d))
}

// A view is what the template shows: numbers are laid out here, so that it
// holds no arithmetic.
type view struct {
	*Data
	Took     string
	Counts   []count
	Rows     []row
	Left     int // rows that are not shown
	Timeline timeline
	Time     chart
	Memory   chart
}

type count struct {
	Code jobspec.Code
	N    int
}

type row struct {
	*Job
	Why, Wall, CPU, Memory, Points string
}

// A timeline shows when each job ran, in as few lanes as were needed.
type timeline struct {
	Width, Height int
	Bars          []bar
	Ticks         []tick
}

type bar struct {
	X, Y, W, H float64
	Code       jobspec.Code
	Title      string
}

type tick struct {
	X, TextX float64
	Label    string
}

// A chart has one bar for each test.
type chart struct {
	Width, Height int
	Bars          []bar
	Most          string
}

func newView(d *Data) *view {
	v := &view{Data: d, Took: d.End.Sub(d.Start).Round(time.Millisecond).String()}
	for _, c := range [...]jobspec.Code{"AC", "WA", "TLE", "MLE", "OLE", "RE", "CE", "IE", "SK"} {
		if n := d.Total.Counts[c]; n > 0 {
			v.Counts = append(v.Counts, count{c, n})
		}
	}
	for i := range d.Jobs {
		if i == mostRows {
			v.Left = len(d.Jobs) - mostRows
			break
		}
		v.Rows = append(v.Rows, newRow(&d.Jobs[i]))
	}
	v.Timeline = newTimeline(d)
	v.Time = newChart(d, func(j *Job) float64 { return j.Wall.Seconds() },
		func(x float64) string { return fmt.Sprintf("%.3f s", x) })
	v.Memory = newChart(d, func(j *Job) float64 { return float64(max(j.Memory, 0)) },
		func(x float64) string { return limits.Size(x).Human() })
	return v
}

func newRow(j *Job) row {
	r := row{Job: j, Why: j.Message}
	if !j.Ran() {
		r.Why = "not run"
		return r
	}
	if j.Code != jobspec.Skipped {
		r.Wall, r.CPU = fmt.Sprintf("%.3f s", j.Wall.Seconds()), fmt.Sprintf("%.3f s", j.CPU.Seconds())
	}
	if j.Memory >= 0 {
		r.Memory = limits.Size(j.Memory).Human()
	}
	if j.Of >= 0 {
		r.Points = fmt.Sprintf("%g / %g", j.Points, j.Of)
	}
	return r
}

// The sizes of the drawings, in pixels.
const (
	drawnWidth  = 960
	laneHeight  = 14
	chartHeight = 120
)

func newTimeline(d *Data) timeline {
	t := timeline{Width: drawnWidth}
	begin, end := d.Start, d.End
	for i := range d.Jobs { // those of a journal ran earlier
		if j := &d.Jobs[i]; j.Ran() && !j.skipped() && !j.Resumed {
			if j.End.After(end) {
				end = j.End
			}
		}
	}
	span := max(end.Sub(begin).Seconds(), 1e-6)
	var lanes []time.Time // when each is free
	for i := range d.Jobs {
		j := &d.Jobs[i]
		if !j.Ran() || j.skipped() || j.Resumed || j.Start.Before(begin) || len(t.Bars) == mostRows {
			continue
		}
		lane := 0
		for lane < len(lanes) && lanes[lane].After(j.Start) {
			lane++
		}
		if lane == len(lanes) {
			lanes = append(lanes, time.Time{})
		}
		lanes[lane] = j.End
		t.Bars = append(t.Bars, bar{
			X: j.Start.Sub(begin).Seconds() / span * drawnWidth, Y: float64(lane * laneHeight),
			W: max(j.End.Sub(j.Start).Seconds()/span*drawnWidth, 1), H: laneHeight - 2,
			Code: j.Code, Title: fmt.Sprintf("%s %s %.3f s", j.ID, j.Code, j.End.Sub(j.Start).Seconds()),
		})
	}
	t.Height = max(len(lanes), 1)*laneHeight + 16
	for i := range 5 {
		x := float64(i) * drawnWidth / 4
		t.Ticks = append(t.Ticks, tick{x, min(x+2, drawnWidth-60), fmt.Sprintf("%.3g s", span*float64(i)/4)})
	}
	return t
}

func newChart(d *Data, value func(*Job) float64, label func(float64) string) chart {
	c := chart{Width: drawnWidth, Height: chartHeight}
	var shown []*Job
	most := 0.0
	for i := range d.Jobs {
		if j := &d.Jobs[i]; j.Ran() && !j.skipped() && len(shown) < mostRows {
			shown = append(shown, j)
			most = max(most, value(j))
		}
	}
	if most == 0 {
		return c
	}
	c.Most = label(most)
	w := float64(drawnWidth) / float64(len(shown))
	for i, j := range shown {
		h := max(value(j)/most*chartHeight, 1)
		c.Bars = append(c.Bars, bar{
			X: float64(i) * w, Y: chartHeight - h, W: max(min(w-1, 40), 0.5), H: h,
			Code: j.Code, Title: j.ID + " " + label(value(j)),
		})
	}
	return c
}
