package sandbox

import (
	"slices"
	"time"
)

// A RepeatReport sums up several runs of the same job. A field that a run
// could not tell is absent.
type RepeatReport struct {
	Runs   int     `json:"runs"`
	CPU    *Spread `json:"cpu_ns,omitempty"` // total of each run
	Wall   *Spread `json:"wall_ns,omitempty"`
	Memory *Spread `json:"memory_peak,omitempty"` // bytes
}

// A Spread describes repeated measurements of one quantity. The median and the
// median of the absolute deviations from it (MAD) are moved by no single
// disturbed run; the least is what the job takes when nothing disturbs it.
type Spread struct {
	Median int64 `json:"median"`
	MAD    int64 `json:"mad"`
	Min    int64 `json:"min"`
}

// SumUp describes the runs of one job. It is pure; nil for no result.
func SumUp(results []*Result) *RepeatReport {
	if len(results) == 0 {
		return nil
	}
	rep := &RepeatReport{Runs: len(results)}
	rep.Wall = spreadOf(results, func(r *Result) (int64, bool) { return int64(r.Wall), r.Wall > 0 })
	rep.CPU = spreadOf(results, func(r *Result) (int64, bool) {
		if r.CPU == nil {
			return 0, false
		}
		return int64(r.CPU.Total), true
	})
	rep.Memory = spreadOf(results, func(r *Result) (int64, bool) {
		switch {
		case r.Memory == nil:
			return 0, false
		case r.Memory.Peak != nil:
			return *r.Memory.Peak, true
		case r.Memory.MaxRSS != nil: // without a group: of the largest process
			return *r.Memory.MaxRSS, true
		}
		return 0, false
	})
	return rep
}

// spreadOf is nil unless every run can tell the quantity: a median over some
// of them would be one of other runs.
func spreadOf(results []*Result, quantity func(*Result) (int64, bool)) *Spread {
	values := make([]int64, 0, len(results))
	for _, r := range results {
		v, ok := quantity(r)
		if !ok {
			return nil
		}
		values = append(values, v)
	}
	middle := median(values)
	s := &Spread{Median: middle, Min: slices.Min(values)}
	for i, v := range values {
		values[i] = time.Duration(v - middle).Abs().Nanoseconds()
	}
	s.MAD = median(values)
	return s
}

// median sorts the values; of an even number it is the mean of the two in the
// middle, rounded down.
func median(values []int64) int64 {
	slices.Sort(values)
	n := len(values)
	low, high := values[(n-1)/2], values[n/2]
	return low + (high-low)/2
}
