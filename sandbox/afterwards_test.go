package sandbox

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
)

// A job that is over before the watchdog looks is judged by what it left.
func TestMemoryAfterwards(t *testing.T) {
	t.Parallel()
	area, err := os.Open("/") // of any file system that holds something
	require.NoError(t, err)
	defer area.Close()
	used, err := limits.TmpfsUsed(int(area.Fd()))
	require.NoError(t, err)
	require.Greater(t, used, limits.Size(1))
	for _, c := range []struct {
		held  holds
		limit limits.Size
		fires bool
	}{{holds{}, 1, true}, {holds{}, used * 2, false}, {holds{}, 0, false}, {everyLimit, 1, false}} {
		r := &run{areas: []*os.File{area}, plan: &Plan{held: c.held, limits: Limits{Memory: c.limit}}}
		w := &watch{run: r}
		w.afterwards()
		w.afterwards() // once is enough
		assert.Equal(t, c.fires, r.firedBy(byMemory), "%v %d", c.held, c.limit)
		assert.LessOrEqual(t, len(r.end.fired), 1)
	}
}
