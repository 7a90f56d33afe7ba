package jobspec

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox/plain"
)

// FuzzLoad: whatever a file holds, there is a batch or errors with a place, and
// what Excerpt and Error print fits a terminal.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "jobs: {a: {run: [x]}}", "jobs:\n  a: {run: [x], memm: 1m}",
		"a: &a [*a]", "jobs: &j {a: *j}", "x: &x {a: 1}\njobs: {b: {<<: *x}}",
		"jobs: {a: {run: [\"${\"]}}", "jobs: {a: {run: ['${x}'], matrix: {x: [1, 2]}}}",
		"jobs: {a: {run: [x], foreach: [{input: a}, {input: b}], answer-text: c}}",
		"jobs: {a: {interact: {sides: {a: {run: [x]}, b: {run: [y]}}}}}",
		"templates: {a: {extends: b}, b: {extends: a}}\njobs: {c: {extends: a}}",
		"\x00", "\xff\xfe", "[[[[[[", "? a\n: b", "--- a\n--- b", "!!binary x", "%YAML 9.9\n---\n", "a: |\n  x\n\tb", "{\"jobs\": {\"a\": {\"run\": [\"x\"]}}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := Load("jobs.yaml", Options{FS: files("jobs.yaml", string(text))})
		if err == nil {
			require.NotEmpty(t, b.Jobs)
			return
		}
		var errs Errors
		if !errors.As(err, &errs) {
			return
		}
		for _, e := range errs {
			for _, line := range append(strings.Split(e.Excerpt(), "\n"), e.Error()) {
				require.Equal(t, plain.Printable(line), line)
			}
		}
	})
}

// TestHostileSize: input made to use memory is refused without using any.
func TestHostileSize(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'm'; c++ {
		p := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [*" + p + strings.Repeat(",*"+p, 9) + "]\n"
	}
	for name, x := range map[string]struct{ text, want string }{
		"huge":     {strings.Repeat("#", mostBytes+1), "more than 8 MiB"},
		"commas":   {"a: [" + strings.Repeat("a,", mostMarks) + "]", "more than 400000 fields"},
		"deep":     {"a: " + strings.Repeat("[", 100_000), "nested too deep"},
		"indent":   {deepIndent(2000), "want one value, not fields"},
		"bomb":     {strings.Replace(bomb, "a: &a", "vars: &a", 1) + "jobs: {a: {run: *l}}", ""},
		"self":     {"jobs: {a: {run: [x], exclude: &e [*e]}}", ""},
		"matrix":   {"jobs: {a: {run: [x], matrix: {a: &l [" + strings.Repeat("1,", 99) + "1], b: *l, c: *l, d: *l}}}", "makes more than 100000 jobs"},
		"variable": {"vars: {a: " + strings.Repeat("x", 1<<20) + "}\njobs: {a: {run: ['" + strings.Repeat("${a}", 20) + "']}}", "more than 8 MiB"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := load(t, x.text)
		runtime.ReadMemStats(&after)
		require.Error(t, err, name)
		assert.ErrorContains(t, err, x.want, name)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(400<<20), name)
	}
}

func deepIndent(n int) string {
	var b strings.Builder
	b.WriteString("jobs:\n  a:\n    run: [x]\n    env:\n")
	for i := range n {
		b.WriteString(strings.Repeat(" ", 5+i) + "a:\n")
	}
	return b.String()
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	_, err := load(t, "jobs:\n  a:\n    run: [x]\n    memm: \"1m\x1b]0;x\"\n")
	assert.ErrorContains(t, err, "control characters are not allowed")
	_, err = load(t, "jobs:\n  a:\n    run: [x]\n    memm: 1m # ünï\u202e\n")
	var errs Errors
	require.ErrorAs(t, err, &errs)
	assert.Equal(t, "    4 |     memm: 1m # ünï\\u202e\n      |     ^\n", errs[0].Excerpt())
}
