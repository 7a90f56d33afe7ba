package batch

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
)

// talk runs the one job of a file and returns its record.
func talk(t *testing.T, text string) *Record {
	t.Helper()
	o := prepared(t, t.TempDir(), text)
	var r Record
	o.Result = func(line []byte) { assert.NoError(t, json.Unmarshal(line, &r)) }
	_, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.NotNil(t, r.Entry.Interaction)
	return &r
}

func TestInteraction(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		sides string
		want  jobspec.Code
		blame string
		why   string
	}{
		"accepted": {`
      j: {run: [sh, -c, "echo 1; read x; test $x = 2 && exit 42; exit 43"]}
      p: {run: [sh, -c, "read x; echo $((x + 1))"]}`, "AC", "", ""},
		"wrong": {`
      j: {run: [sh, -c, "echo 1; read x; test $x = 2 && exit 42; echo no >&2; exit 43"]}
      p: {run: [sh, -c, "read x; echo 7"]}`, "WA", "", "no"},
		"crash": {`
      j: {run: [sh, -c, "echo 1; read x || exit 43; exit 42"]}
      p: {run: [sh, -c, "exit 9"]}`, "RE", "", "side p: exit status 9"},
		"crash at the end": {`
      j: {run: [sh, -c, "read x; exit 42"]}
      p: {run: [sh, -c, "echo 1; read x; exit 9"]}`, "RE", "", "side p: exit status 9"},
		"judge fails": {`
      j: {run: [sh, -c, "exit 1"]}
      p: {run: [cat]}`, "IE", "", "neither 42"},
		"both wait": {`
      j: {run: [sh, -c, "read x; exit 42"]}
      p: {run: [sh, -c, "read x"]}`, "TLE", "p", "nobody has said anything"},
		"no newline": {`
      j: {run: [sh, -c, "echo 1; read x; exit 42"]}
      p: {run: [sh, -c, "read x; printf 2; read x"]}`, "TLE", "p", "its last line has no end"},
		"buffered": {`
      j: {run: [sh, -c, "echo 1; read x; exit 42"]}
      p: {run: [sh, -c, "read x; read y; echo $((x + 1))"]}`, "TLE", "p", "was spoken to last"},
		"slow is no deadlock": {`
      j: {run: [sh, -c, "echo 1; read x; exit 42"]}
      p: {run: [sh, -c, "read x; sleep 0.4; echo 2"]}`, "AC", "", ""},
		"limit": {`
      j: {run: [sh, -c, "echo 1; read x; exit 42"]}
      p: {run: [sh, -c, "while :; do :; done"], cpu-time: 200ms}`, "TLE", "", "side p: CPU time limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := talk(t, "defaults: {wall: 30s}\njobs:\n  game:\n    interact:\n     judge: j\n     patience: 200ms\n     sides:"+x.sides+"\n")
			assert.Equal(t, x.want, r.Entry.Code, r.Entry.Message)
			assert.Contains(t, r.Entry.Message, x.why)
			n := r.Entry.Interaction
			assert.Equal(t, x.blame, n.Blame)
			assert.Equal(t, x.blame != "", n.Deadlock)
			assert.Len(t, n.Sides, 2)
		})
	}
}

// TestRing: three sides in a ring, and what was said, in order and with times.
func TestRing(t *testing.T) {
	t.Parallel()
	r := talk(t, `
jobs:
  ring:
    interact:
      transcript: 5
      pipes: [a > b, b > c, c > a]
      sides:
        a: {run: [sh, -c, "echo 1; read x; test $x = 3"]}
        b: {run: [sh, -c, "read x; echo $((x + 1))"]}
        c: {run: [sh, -c, "read x; echo $((x + 1))"]}
`)
	assert.EqualValues(t, "AC", r.Entry.Code, r.Entry.Message)
	n := r.Entry.Interaction
	var said []string
	for i, m := range n.Transcript {
		said = append(said, m.From+strings.TrimSpace(m.Text))
		if i > 0 {
			assert.GreaterOrEqual(t, m.At, n.Transcript[i-1].At)
		}
	}
	assert.Equal(t, []string{"a1", "b2", "c3"}, said)
	assert.EqualValues(t, 1, n.Dropped, "of six bytes five are kept")
}

// TestShare: lines of several writers to one reader do not mix.
func TestShare(t *testing.T) {
	t.Parallel()
	r := talk(t, `
jobs:
  share:
    interact:
      pipes: [a > c, b > c]
      sides:
        a: {run: [sh, -c, "for i in 1 2 3 4 5 6 7 8 9; do printf aa; echo aa; done"]}
        b: {run: [sh, -c, "for i in 1 2 3 4 5 6 7 8 9; do printf bb; echo bb; done"]}
        c: {run: [sh, -c, "n=0; while read x; do case $x in aaaa|bbbb) n=$((n+1));; *) exit 1;; esac; done; test $n = 18"]}
`)
	assert.EqualValues(t, "AC", r.Entry.Code, r.Entry.Message)
}
