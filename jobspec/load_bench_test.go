package jobspec

import (
	"fmt"
	"strings"
	"testing"
)

// manyJobs is a file with n jobs, each written out.
func manyJobs(n int) string {
	var b strings.Builder
	b.WriteString("defaults: {mem: 64m, wall: 10s}\njobs:\n")
	for i := range n {
		fmt.Fprintf(&b, "  job%d:\n    run: [sh, -c, \"echo %d\"]\n    mem: 128m\n    cpu-time: 2s\n    env: {A: b, C: d}\n    check: {checker: tokens}\n    answer-text: \"1 2 3\"\n", i, i)
	}
	return b.String()
}

// BenchmarkLoad decodes and checks 2000 jobs.
func BenchmarkLoad(b *testing.B) {
	text := manyJobs(2000)
	fs := files("jobs.yaml", text)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load("jobs.yaml", Options{FS: fs}); err != nil {
			b.Fatal(err)
		}
	}
}
