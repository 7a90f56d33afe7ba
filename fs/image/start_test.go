package image

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	jfs "github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/tests/lane"
)

// BenchmarkStart compares starts out of images, turn by turn: of 10 MB and of
// 1 GB, of one layer and of many. It reports medians, and the least, of whole
// runs of a program that ends at once.
func BenchmarkStart(b *testing.B) {
	dir := lane.Scratch(b)
	b.Setenv("XDG_STATE_HOME", dir)
	s, err := Open(jfs.StateDir(os.Geteuid(), ""), Limits{})
	require.NoError(b, err)
	l := newLayout(b)
	sized := func(files int) []byte {
		var entries []entry
		for i := range files {
			entries = append(entries, file(fmt.Sprintf("d%d/f%d", i%100, i), strings.Repeat("\x00", 50_000)))
		}
		return tarOf(b, entries...)
	}
	l.add("10MB", "gzip", hostDirs(b), sized(200))
	l.add("1GB", "gzip", hostDirs(b), sized(20_000))
	for _, n := range [...]int{1, 64, jfs.MaxLayers} {
		layers := [][]byte{hostDirs(b)}
		for i := 1; i < n; i++ {
			layers = append(layers, tarOf(b, file(fmt.Sprintf("n%d", i), "")))
		}
		l.add(fmt.Sprintf("%d-layers", n), "", layers...)
	}
	names := []string{"10MB", "1GB", "1-layers", "64-layers", "127-layers"}
	for _, name := range names {
		imported(b, s, l.source(name), Options{Name: name})
	}
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, name := range names {
			start := time.Now()
			_, err := inImage(name, "/bin/true").Run(b.Context())
			took[name] = append(took[name], time.Since(start))
			require.NoError(b, err)
		}
	}
	at := func(name string, part int) float64 { // 0 is the least, which nothing has disturbed; 2 the median
		slices.Sort(took[name])
		return float64(took[name][len(took[name])*part/4].Microseconds())
	}
	for _, name := range names {
		b.ReportMetric(at(name, 2), "µs/"+name)
	}
	b.ReportMetric(at("1GB", 2)/at("10MB", 2), "1GB:10MB")
	b.ReportMetric((at("127-layers", 2)-at("1-layers", 2))/126, "µs/layer")
	b.ReportMetric(at("1GB", 0)/at("10MB", 0), "least-1GB:10MB")
	b.ReportMetric((at("127-layers", 0)-at("1-layers", 0))/126, "least-µs/layer")
}
