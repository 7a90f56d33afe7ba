package sandbox

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/jailrun/jailrun/limits"
)

func TestThrashes(t *testing.T) {
	const limit = 64 * limits.MiB
	const quarter = limit / 4
	for name, c := range map[string]struct {
		held     limits.Size
		refaults uint64
		want     bool
	}{
		// Seen in lane uml: 64 MiB in a tmpfs, head and the C library in what was left.
		"reads its program 15 times over":                          {66817824, 4839, true},
		"at the limit, and makes way":                              {66946216, 20, false},
		"nothing is left":                                          {limit, 200, true},
		"more than the limit":                                      {limit + limits.MiB, 200, true},
		"reads a large file":                                       {limits.MiB, 50, false},
		"reads a large file again and again, with memory to spare": {quarter, 1_000_000, false},
		"reads slowly what does not fit":                           {limit - 4*limits.MiB, 2000, false},
	} {
		t.Run(name, func(t *testing.T) {
			last, seen := limits.Squeeze{Hits: 1, Held: c.held, Refaults: 7}, limits.Squeeze{Hits: 9, Held: c.held, Refaults: 7 + c.refaults}
			assert.Equal(t, c.want, thrashes(last, seen, limit, squeezeStep))
			assert.False(t, thrashes(last, last, limit, squeezeStep), "nothing was read again")
		})
	}
}
