package limits

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEarliest(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		name            string
		bandwidth       Bandwidth
		remaining, want time.Duration
	}{
		{"one CPU", Bandwidth{Parallel: 1}, 500 * ms, 500 * ms},
		{"four CPUs", Bandwidth{Parallel: 4}, 500 * ms, 125 * ms},
		{"no count is one", Bandwidth{}, 500 * ms, 500 * ms},
		{"reached", Bandwidth{Parallel: 4}, 0, MinCheck},
		{"overrun", Bandwidth{Parallel: 4}, -time.Second, MinCheck},
		{"nearly", Bandwidth{Parallel: 64}, 10 * ms, MinCheck},
		{"a share delays", Bandwidth{Parallel: 2, Share: 200}, time.Second, 5*time.Second - cpuSlack},
		{"but one period can be burnt at once", Bandwidth{Parallel: 2, Share: 200}, 20 * ms, 10 * ms},
		{"a share above the CPUs", Bandwidth{Parallel: 2, Share: 4000}, time.Second, 500 * ms},
		{"a long limit", Bandwidth{Parallel: 1, Share: 1}, 24 * time.Hour, 24000*time.Hour - cpuSlack},
	} {
		assert.Equal(t, row.want, row.bandwidth.Earliest(row.remaining), row.name)
	}
}

// A job under cpu.max can never reach its CPU deadline before the timer looks,
// whatever the phase of the period in which the timer is armed.
func TestEarliestIsNeverLateUnderCPUMax(t *testing.T) {
	const ms = time.Millisecond
	for _, share := range []CPU{50, 200, 500, 1500} {
		bandwidth := Bandwidth{Parallel: 2, Share: share}
		for phase := time.Duration(0); phase < 100*ms; phase += 7 * ms {
			for remaining := 2 * ms; remaining < time.Second; remaining += 13 * ms {
				burnt, left, clock := time.Duration(0), share.Of(100*ms), phase
				for burnt < remaining { // the greediest job, in steps of a millisecond
					step := min(2*ms, left)
					burnt, left, clock = burnt+step, left-step, clock+ms
					if clock%(100*ms) == 0 || clock/(100*ms) != (clock-ms)/(100*ms) {
						left = share.Of(100 * ms)
					}
				}
				require.GreaterOrEqual(t, clock-phase+ms, bandwidth.Earliest(remaining),
					"share %v phase %v remaining %v", share, phase, remaining)
			}
		}
	}
}
