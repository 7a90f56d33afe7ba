package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/schedule"
	"github.com/jailrun/jailrun/sandbox"
)

// here shows a directory of the test's to jobs.
type here string

func (h here) Resolve(name string, write bool) (string, error) {
	if write {
		return "", os.ErrPermission
	}
	return filepath.EvalSymlinks(filepath.Join(string(h), name))
}

// prepared makes the options for a job file in a directory of its own.
func prepared(t testing.TB, dir, text string) Options {
	t.Helper()
	return preparedWith(t, dir, jobspec.Options{}, text)
}

func preparedWith(t testing.TB, dir string, load jobspec.Options, text string) Options {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "jobs.yaml"), []byte(text), 0o644))
	load.FS, load.Host = os.DirFS(dir), here(dir)
	b, err := jobspec.Load("jobs.yaml", load)
	require.NoError(t, err)
	budget, err := schedule.Machine(os.DirFS("/"))
	require.NoError(t, err)
	return Options{
		Batch: b, Load: load, Budget: budget, State: filepath.Join(dir, "state"),
		Journal: filepath.Join(dir, "journal"),
	}
}

// codes are the verdicts by job.
func codes(o Options, s *Summary) map[string]jobspec.Code {
	all := map[string]jobspec.Code{}
	for i, j := range o.Batch.Jobs {
		all[j.ID] = s.Outcomes[i].Code
	}
	return all
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	o := prepared(t, t.TempDir(), `
defaults: {wall: 20s}
jobs:
  ac: {run: [echo, hi], answer-text: "hi\n"}
  wa: {run: [echo, ho], answer-text: "hi\n"}
  wanted: {run: [echo, ho], answer-text: "hi\n", expect: WA}
  tle: {run: [sh, -c, "while :; do :; done"], wall: 200ms}
  cpu: {run: [sh, -c, "while :; do :; done"], cpu-time: 200ms}
  mle: {run: [sh, -c, "exec head -c 400m /dev/zero | tail"], mem: 32m}
  ole: {run: [yes], output: 100k}
  cut: {run: [sh, -c, "head -c 200000 /dev/zero"], output: 100k, on-output: truncate}
  re: {run: [sh, -c, "exit 3"]}
  signal: {run: [sh, -c, "sh -c 'kill -SEGV $$$$'; exit $?"]}
  gone: {run: [/nowhere]}
  ce: {run: ["false"], step: compile}
  after: {run: ["true"], needs: ce}
  skipped: {run: ["true"], needs: [re, ac]}
  stdin: {run: [cat], input: "x y", answer-text: "x  y"}
  points: {run: [echo, "1.05"], answer-text: "1", check: {abs: 0.1}, points: 7}
  stop: {foreach: [{input: a, answer-text: a}, {input: b, answer-text: c}, {input: d, answer-text: d}], run: [cat], stop-on: failure, priority: -1}
`)
	o.Budget.Slots = 1
	var lines []Record
	o.Result = func(line []byte) {
		var r Record
		assert.NoError(t, json.Unmarshal(line, &r))
		lines = append(lines, r)
	}
	s, err := Run(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, map[string]jobspec.Code{
		"ac": "AC", "wa": "WA", "wanted": "WA", "tle": "TLE", "cpu": "TLE", "mle": "MLE", "ole": "OLE", "cut": "AC",
		"re": "RE", "signal": "RE", "gone": "RE", "ce": "CE", "after": "CE", "skipped": "SK", "stdin": "AC",
		"points": "AC", "stop/1": "AC", "stop/2": "WA", "stop/3": "SK",
	}, codes(o, s))
	assert.Len(t, lines, len(o.Batch.Jobs), "one result for each job")
	total := Score(o.Batch, s)
	assert.Equal(t, 6, total.Passed, "AC, and the one that was to be WA")
	assert.InDelta(t, 7, total.Points, 0)
	for _, r := range lines {
		assert.Equal(t, 1, r.Version)
		assert.NotEmpty(t, r.Entry.Digest)
		if r.Entry.ID == "wa" {
			assert.Equal(t, "ho\n", r.Entry.Stdout.Head)
			assert.Equal(t, sandbox.Exited, r.Verdict)
		}
	}
}

// TestSpool: an output is read back whole, wherever it was held.
func TestSpool(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, inMemory, inMemory + 1, 5 * inMemory} {
		s := newSpool(t.TempDir())
		want := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
		for rest := want; len(rest) > 0; {
			k := min(len(rest), 1000)
			_, err := s.Write(rest[:k])
			require.NoError(t, err)
			rest = rest[k:]
		}
		var got bytes.Buffer
		_, err := got.ReadFrom(s.reader())
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got.Bytes()))
		if n > 0 {
			assert.True(t, strings.HasPrefix(string(want), s.text().Head))
		}
		s.close()
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	o := prepared(t, t.TempDir(), "jobs: {a: {matrix: {i: [1, 2, 3, 4]}, run: ['true']}}\n")
	o.Budget.Slots = 1
	drain := make(chan struct{})
	o.Drain = drain
	o.Finished = func(job int, _ *Outcome) {
		if job == 1 {
			close(drain)
		}
	}
	s, err := Run(t.Context(), o)
	require.NoError(t, err)
	assert.True(t, s.Drained)
	ran := 0
	for _, x := range s.Outcomes {
		if x.Code == "AC" {
			ran++
		}
	}
	assert.Less(t, ran, 4)
	o.Drain, o.Finished, o.Resume = nil, nil, true
	s, err = Run(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, ran, s.Resumed)
	assert.Equal(t, 4, Score(o.Batch, s).Passed)
}

// TestChanged: a result of a job that is another by now is no result.
func TestChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "jobs:\n  a: {run: [echo, '1'], answer-text: '%s'}\n  b: {run: ['true']}\n  c: {run: ['true'], needs: a}\n"
	o := prepared(t, dir, fmt.Sprintf(text, "1"))
	_, err := Run(t.Context(), o)
	require.NoError(t, err)
	o = prepared(t, dir, fmt.Sprintf(text, "2"))
	o.Resume = true
	s, err := Run(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, 1, s.Resumed, "b is what it was; c needs a")
	assert.Equal(t, map[string]jobspec.Code{"a": "WA", "b": "AC", "c": "SK"}, codes(o, s))
	assert.Contains(t, s.Notes[0], "2 results are of jobs that have changed")
	s, err = Run(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, 2, s.Resumed, "what was skipped is decided anew")
	assert.Empty(t, s.Notes, "the results before are of no interest any more")
}

// TestWider: one more value of a matrix is one more job, and the others are
// what they were.
func TestWider(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "jobs: {a: {matrix: {i: [%s]}, run: [echo, '${matrix.i}']}}\n"
	_, err := Run(t.Context(), prepared(t, dir, fmt.Sprintf(text, "1, 2")))
	require.NoError(t, err)
	o := prepared(t, dir, fmt.Sprintf(text, "1, 2, 3"))
	o.Resume = true
	s, err := Run(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, 2, s.Resumed)
	assert.Empty(t, s.Notes)
}
