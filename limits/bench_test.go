package limits

import "testing"

func benchSubtree(b *testing.B) *Subtree {
	s, err := FindSubtree(FindOptions{Want: allControllers, Evacuate: true})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(s.Close)
	return s
}

// BenchmarkFindSubtree is paid once by a process, on the way to its first job.
func BenchmarkFindSubtree(b *testing.B) {
	benchSubtree(b)
	for b.Loop() {
		s, err := FindSubtree(FindOptions{Want: allControllers, Evacuate: true})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkGroup is what limits cost each run: make, read, remove.
func BenchmarkGroup(b *testing.B) {
	s := benchSubtree(b)
	var l GroupLimits
	if s.has("memory") && s.has("pids") && s.has("cpu") {
		l = GroupLimits{Memory: 100 * MiB, CPU: 200, Tasks: 64}
	}
	var made, read, removed int64
	for b.Loop() {
		t0 := Now()
		g, err := s.NewGroup("bench", l)
		t1 := Now()
		if err != nil {
			b.Fatal(err)
		}
		_, err = g.Usage()
		t2 := Now()
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Remove(); err != nil {
			b.Fatal(err)
		}
		made, read, removed = made+int64(t1-t0), read+int64(t2-t1), removed+int64(Now()-t2)
	}
	n := float64(b.N) * 1000
	b.ReportMetric(float64(made)/n, "make-µs")
	b.ReportMetric(float64(read)/n, "usage-µs")
	b.ReportMetric(float64(removed)/n, "remove-µs")
}
