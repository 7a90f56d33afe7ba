package check

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	f := func(x float64) *float64 { return &x }
	tokens, lines, exact := &jobspec.Check{Checker: "tokens"}, &jobspec.Check{Checker: "lines"}, &jobspec.Check{Checker: "exact"}
	fold := &jobspec.Check{Checker: "tokens", IgnoreCase: true}
	near, zero := &jobspec.Check{Checker: "floats"}, &jobspec.Check{Checker: "floats", Abs: f(0.5)}
	rel := &jobspec.Check{Checker: "floats", Rel: f(0.1)}
	bag := &jobspec.Check{Checker: "unordered"}
	re := &jobspec.Check{Checker: "regex", Pattern: "a+b|c"}
	for _, x := range []struct {
		c           *jobspec.Check
		out, answer string
		want        string // "" accepts
	}{
		{exact, "a\nb", "a\nb", ""},
		{exact, "a\nb\n", "a\nb", `line 2, byte 4: expected the end, got "b"`},
		{exact, "a\nx", "a\nb", `line 2, byte 3: got "x", expected "b"`},
		{exact, "", "b", `line 1, byte 1: the output ends, expected "b"`},
		{lines, "a  \nb\n\n\n", "a\nb", ""},
		{lines, " a\nb", "a\nb", `line 1: got " a", expected "a"`},
		{lines, "a\n\nb", "a\nb", `line 2: got "\n", expected "b"`},
		{lines, "a\r\nb\r\n", "a\nb\n", ""},
		{tokens, " 1  2\n3\n", "1 2 3", ""},
		{tokens, "1 2 3", "1 2 4", `word 3: got "3", expected "4"`},
		{tokens, "1 2", "1 2 4", `word 2: the output ends, expected "2"`},
		{tokens, "12", "1 2", `word 1: got "12", expected "1"`},
		{tokens, "yes", "YES", `word 1: got "yes", expected "YES"`},
		{fold, "yes No", "YES no", ""},
		{near, "1.0000001 x", "1 x", ""},
		{near, "1.1 x", "1 x", `word 1: got "1.1", expected "1": off by 0.1, allowed are 1e-06 absolute or 1e-06 relative`},
		{near, "nan", "1", `word 1: got "nan", expected "1"`},
		{near, "inf", "inf", ""},
		{near, "1 2", "1", `word 2: expected the end, got "2"`},
		{zero, "1.4", "1", ""},
		{rel, "109", "100", ""},
		{rel, "111", "100", `word 1: got "111", expected "100": off by 11, allowed are 0 absolute or 0.1 relative`},
		{bag, "b\na\na", "a\na\nb", ""},
		{bag, "b\na\nb", "a\na\nb", `line 3: "b" is not expected, or not so often`},
		{bag, "b", "a\nb", `1 of the expected lines are missing`},
		{re, "aab\n", "", ""},
		{re, "xaab\n", "", "the output does not match a+b|c"},
		{re, "c\nc", "", "the output does not match a+b|c"},
	} {
		got, err := Compare(x.c, iotest.OneByteReader(strings.NewReader(x.out)), strings.NewReader(x.answer))
		require.NoError(t, err)
		assert.Equal(t, x.want == "", got.OK, "%s %q %q", x.c.Checker, x.out, x.answer)
		if x.want == `word 2: the output ends, expected "2"` {
			continue // where a word ends early is told by what follows
		}
		assert.Equal(t, x.want, got.Message, "%s %q %q", x.c.Checker, x.out, x.answer)
	}
}

// TestFailingReader: what cannot be read is no wrong answer.
func TestFailingReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []string{"exact", "lines", "tokens", "floats", "unordered", "regex"} {
		check := &jobspec.Check{Checker: jobspec.Checker(c), Pattern: "a*"}
		_, err := Compare(check, io.MultiReader(strings.NewReader("a"), iotest.ErrReader(broken)), strings.NewReader("a"))
		assert.ErrorIs(t, err, broken, c)
	}
}

func TestExited(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		convention jobspec.Convention
		status     int
		score, say string
		ok, fails  bool
		want       float64
	}{
		{"kattis", 42, "", "", true, false, -1},
		{"kattis", 42, "0.5\n", "", true, false, 0.5},
		{"kattis", 43, "", "no", false, false, -1},
		{"kattis", 0, "", "", false, true, -1},
		{"kattis", 42, "nan", "", true, true, -1},
		{"testlib", 0, "", "ok", true, false, -1},
		{"testlib", 1, "", "wrong", false, false, -1},
		{"testlib", 2, "", "pe", false, false, -1},
		{"testlib", 3, "", "fail", false, true, -1},
		{"testlib", 7, "", "points 0.25 half", true, false, 0.25},
		{"testlib", 66, "", "", true, false, 0.5},
	} {
		f, err := Exited(x.convention, x.status, x.score, x.say)
		assert.Equal(t, x.fails, err != nil, "%+v", x)
		assert.Equal(t, x.ok, f.OK, "%+v", x)
		if x.want >= 0 && assert.NotNil(t, f.Score) {
			assert.InDelta(t, x.want, *f.Score, 1e-9)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1 2\n", "1  2")
	f.Add("a\n\n b ", "a\n\n b")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, c := range []jobspec.Checker{"exact", "lines", "tokens", "floats", "unordered"} {
			check := &jobspec.Check{Checker: c}
			same, err := Compare(check, strings.NewReader(a), strings.NewReader(a))
			require.NoError(t, err)
			require.True(t, same.OK, "%s accepts the answer itself", c)
			x, err := Compare(check, strings.NewReader(a), strings.NewReader(b))
			require.NoError(t, err)
			if y, _ := Compare(check, strings.NewReader(b), strings.NewReader(a)); c != "floats" {
				require.Equal(t, x.OK, y.OK, "%s does not care which is which", c)
			}
			if c == "tokens" {
				require.Equal(t, strings.Join(strings.FieldsFunc(a, ascii), " ") == strings.Join(strings.FieldsFunc(b, ascii), " "), x.OK)
			}
		}
	})
}

func ascii(r rune) bool { return r < 128 && isSpace(byte(r)) }
