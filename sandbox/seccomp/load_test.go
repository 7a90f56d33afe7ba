package seccomp

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkLoad says what it takes to load each filter, by the CPU clock of the
// thread: the first decile of new processes.
func BenchmarkLoad(b *testing.B) {
	for _, filter := range []string{"default", "judge", "strict", "init"} {
		var took []float64
		for range b.N {
			out, err := output(helper(b, "load", filter))
			require.NoError(b, err, out)
			n, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
			require.NoError(b, err)
			took = append(took, n/1e3)
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/10], filter+"-µs")
		b.ReportMetric(took[len(took)/2], filter+"-median-µs")
	}
	b.ReportMetric(0, "ns/op")
}
