package batch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
)

const flow = `
jobs:
  build:
    step: compile
    cache: true
    cwd: none
    file: {/home/job/a.sh: "echo $1 %s"}
    run: [sh, -c, "cp a.sh tool; chmod 755 tool; echo built"]
    outputs: {tool: tool}
    stdout: log
  use:
    inputs: {tool: build.tool, /tmp/log: build.log}
    run: [sh, -c, "sh ./tool hi; cat /tmp/log"]
    cwd: none
    check: {checker: regex, pattern: "hi .*\nbuilt"}
`

// records runs a batch and returns its records by job.
func records(t *testing.T, o Options) map[string]*Record {
	t.Helper()
	all := map[string]*Record{}
	o.Result = func(line []byte) {
		var r Record
		assert.NoError(t, json.Unmarshal(line, &r))
		all[r.Entry.ID] = &r
	}
	_, err := Run(t.Context(), o)
	require.NoError(t, err)
	return all
}

// TestFlow: what one job leaves another takes, and a step with the same inputs
// is carried out once.
func TestFlow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := prepared(t, dir, flow)
	first := records(t, o)
	assert.EqualValues(t, "AC", first["use"].Entry.Code, first["use"].Entry.Message)
	assert.False(t, first["build"].Entry.Cached)
	assert.Len(t, first["build"].Entry.Outputs, 2)
	again := records(t, o)
	assert.True(t, again["build"].Entry.Cached)
	assert.Equal(t, first["build"].Entry.Outputs, again["build"].Entry.Outputs)
	assert.EqualValues(t, "AC", again["use"].Entry.Code)
	changed := records(t, prepared(t, dir, flow+"    env: {A: b}\n"))
	assert.True(t, changed["build"].Entry.Cached, "another job changed")
	other := prepared(t, dir, "jobs: {a: {run: [sh, -c, 'ln -s /etc/passwd x'], outputs: {x: x}, cwd: none}, b: {run: ['true'], outputs: {y: y}, cwd: none}}\n")
	left := records(t, other)
	assert.EqualValues(t, "RE", left["a"].Entry.Code, "a link is no output")
	assert.EqualValues(t, "RE", left["b"].Entry.Code)
	assert.Contains(t, left["b"].Entry.Message, "it left no y")
	entries, err := os.ReadDir(filepath.Join(dir, "state", "tmp"))
	require.NoError(t, err)
	assert.Empty(t, entries, "nothing is left behind")
}

// TestCheckerProgram: a checker in a sandbox of its own, by both conventions.
func TestCheckerProgram(t *testing.T) {
	t.Parallel()
	got := records(t, prepared(t, t.TempDir(), `
defaults: {answer-text: "3", input: "1 2", points: 10, wall: 20s}
templates:
  kattis:
    run: [echo, "3"]
    check:
      program: [sh, -c, 'read out; read in <$0; read ans <$1 || :; echo "saw $in" >$2/judgemessage.txt; echo 0.5 >$2/score.txt; test "$out" = "$ans" && exit 42; exit 43']
      convention: kattis
  testlib:
    run: [echo, "3"]
    check: {program: [sh, -c, 'read out <$1; read ans <$2 || :; echo "said $out" >&2; test "$out" = "$ans"'], convention: testlib}
jobs:
  right: {extends: kattis}
  wrong: {extends: kattis, run: [echo, "4"]}
  ok: {extends: testlib}
  no: {extends: testlib, run: [echo, "4"]}
  broken: {extends: testlib, check: {program: [sh, -c, "exit 3"], convention: testlib}}
  killed: {extends: testlib, check: {program: [sh, -c, "sleep 100"], wall: 100ms}}
`))
	for id, want := range map[string]jobspec.Code{"right": "AC", "wrong": "WA", "ok": "AC", "no": "WA", "broken": "IE", "killed": "IE"} {
		require.NotNil(t, got[id], id)
		assert.Equal(t, want, got[id].Entry.Code, "%s: %s", id, got[id].Entry.Message)
	}
	assert.Equal(t, "saw 1 2", got["right"].Entry.Message)
	assert.InDelta(t, 5, *got["right"].Entry.Points, 0)
	assert.Equal(t, "said 4", got["no"].Entry.Message)
}

func TestReplay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := prepared(t, dir, flow)
	all := records(t, o)
	again := func(r *Record, o Options) ([]Difference, []Difference, error) {
		o.Journal, o.Batch = "", nil
		before, after, _, err := Again(o, r, func(o Options) (*Summary, error) { return Run(t.Context(), o) })
		return before, after, err
	}
	for id, r := range all {
		before, after, err := again(r, o)
		require.NoError(t, err, id)
		assert.Empty(t, before, id)
		assert.Empty(t, after, id)
	}
	all["use"].Kernel, all["use"].Entry.Code = "another", "WA"
	before, after, err := again(all["use"], o)
	require.NoError(t, err)
	assert.Equal(t, "kernel", before[0].What)
	assert.Equal(t, []Difference{{"verdict", "WA", "AC"}}, after)

	// A record of a stranger's is a job file of a stranger's.
	for _, x := range []struct{ job, want string }{
		{`{"run": ["x"], "unsafe": ["net-host"]}`, "cannot give up a protection"},
		{`{"run": ["x"], "seccomp": "none"}`, "gives up the filter"},
		{`{"run": ["x"], "bind": ["../secret:/x"]}`, "bind"},
		{`{"run": ["x"]}}, "jobs": {"more": {"run": ["x"]}`, "is given twice"},
	} {
		_, _, err := again(&Record{Result: all["use"].Result, Entry: Entry{Replay: &Replay{Job: json.RawMessage(x.job)}}}, o)
		assert.ErrorContains(t, err, x.want)
	}
	all["use"].Entry.Replay.Inputs["build.tool"] = "../../../../etc/passwd"
	_, _, err = again(all["use"], o)
	assert.ErrorContains(t, err, "not in the store")
}
