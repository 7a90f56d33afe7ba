package jobspec

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFields: a job that is written down and read again is the same job.
func TestFields(t *testing.T) {
	t.Parallel()
	b, err := load(t, `
vars: {V: "x${"}
defaults: {mem: 64m, env: {A: "1"}, wall: 1.25}
jobs:
  a:
    matrix: {i: [1, 2]}
    run: [echo, "${matrix.i}", "$${HOME}", "${V}"]
    cpu: 50%
    cpu-time: 0.000000001
    pids: none
    inodes: 1k
    tmpfs: [/x:1m]
    file: {/a: "@@b"}
    cwd: none
    output: 1m
    retry: 2
    points: 1.5
    input: "1\n\t2"
    check: {checker: floats, abs: 1e-9}
    answer-text: "3"
    expect: [AC, WA]
    group: g
  b:
    interact:
      judge: x
      sides: {x: {run: [a], mem: 8m}, y: {run: [b]}}
groups: {g: {points: 1}}
`)
	require.NoError(t, err)
	for _, j := range b.Jobs {
		text, err := j.Fields()
		require.NoError(t, err)
		again, err := load(t, `{"jobs": {"again": `+string(text)+`}}`)
		require.NoError(t, err, string(text))
		got, want := again.Jobs[0].Job, j.Job
		want.Matrix, want.Group = nil, ""
		want.Needs, got.Needs = nil, nil
		if want.Interact != nil { // in the order of their names
			assert.ElementsMatch(t, want.Interact.Sides, got.Interact.Sides)
			want.Interact, got.Interact = nil, nil
		}
		assert.Equal(t, want, got, string(text))
	}
}
