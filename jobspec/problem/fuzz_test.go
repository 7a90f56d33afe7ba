package problem

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzRead: a package comes from anybody. What is read of it are limits that a
// job can have.
func FuzzRead(f *testing.F) {
	for _, s := range [][2]string{
		{"name: A\nlimits: {time_limit: 2, memory: 256, output: 8, compilation_time: 10}\n", ""},
		{"", "1"},
		{"", "timelimit='1.5'\n"},
		{"", "NaN"},
		{"limits: {time_limit: .nan}", ""},
		{"limits: {time_limit: -.inf}", ""},
		{"limits: {time_limit: 1e300}", ""},
		{"limits: {memory: 9223372036854775807, compilation_time: 9223372036854775807}", ""},
		{"name: {en: A, de: B}\ntype: [pass-fail, interactive]\nvalidation: custom\n", ""},
		{"validator_flags: float_tolerance 1e-6 case_sensitive\n", ""},
		{"validator_flags: float_tolerance nan\n", ""},
		{"a: &a [*a]\n", ""},
		{"limits: 1", ""},
		{"\x00", "\x00"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, text, ini string) {
		fsys := fstest.MapFS{
			"problem.yaml":       {Data: []byte(text)},
			"data/secret/1.in":   {Data: []byte("1")},
			"data/secret/1.ans":  {Data: []byte("2")},
			"submissions/x/a.py": {Data: []byte("print(2)")},
		}
		if ini != "" {
			fsys["domjudge-problem.ini"] = &fstest.MapFile{Data: []byte(ini)}
		}
		p, err := Read(fsys)
		if err != nil {
			return
		}
		require.Positive(t, p.TimeLimit)
		require.LessOrEqual(t, p.TimeLimit, time.Hour)
		require.Positive(t, p.CompileTime)
		require.Positive(t, p.MemoryMiB)
		require.Positive(t, p.MemoryMiB<<20)
		require.Positive(t, p.OutputMiB)
		require.Positive(t, p.OutputMiB<<20)
		require.Len(t, p.Cases, 1)
	})
}
