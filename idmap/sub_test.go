package idmap

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lines are the numbers and reasons of the malformed lines.
func lines(s Sub) []string {
	var out []string
	for _, e := range s.Malformed {
		out = append(out, e.Error())
	}
	return out
}

func TestParseSub(t *testing.T) {
	alice := Owner{UID: 1000, Names: []string{"alice"}}
	for _, c := range []struct {
		name, text string
		owner      Owner
		want       []SubRange
		malformed  []string
	}{
		{"empty", "", alice, nil, nil},
		{"by name", "bob:100000:65536\nalice:165536:65536\n", alice, []SubRange{{165536, 65536}}, nil},
		{"by number", "1000:165536:65536\n", alice, []SubRange{{165536, 65536}}, nil},
		{"by number only", "alice:1:1\n1000:165536:65536\n", Owner{UID: 1000}, []SubRange{{165536, 65536}}, nil},
		{
			"several, both ways, in order", "alice:300000:10\nbob:1:1\n1000:200000:20\nalice:100000:30\n", alice,
			[]SubRange{{300000, 10}, {200000, 20}, {100000, 30}},
			nil,
		},
		{
			"two names of one uid", "a:100000:1\nb:200000:1\n",
			Owner{UID: 5, Names: []string{"a", "b"}},
			[]SubRange{{100000, 1}, {200000, 1}},
			nil,
		},
		{"no final newline", "alice:100000:65536", alice, []SubRange{{100000, 65536}}, nil},
		{"comments and blank lines", "# who:has:what\n\n#alice:1:2\nalice:100000:2\n", alice, []SubRange{{100000, 2}}, nil},
		{"a part of the name", "alic:1:1\nalicee:1:1\nAlice:1:1\n", alice, nil, nil},
		{"hexadecimal and octal, as strtoul", "alice:0x10000:010\n", alice, []SubRange{{65536, 8}}, nil},
		{"more fields are ignored", "alice:100000:5:x:y\n", alice, []SubRange{{100000, 5}}, nil},
		{"CR is no part of a number", "alice:100000:5\r\n", alice, nil, []string{`line 1: "5\r" is not a count of ids`}},

		{"missing fields", "alice\nalice:1\nalice::2\n:1:2\nalice:1:\nalice:100000:1\n", alice, []SubRange{{100000, 1}}, []string{
			`line 1: "alice" is not OWNER:FIRST:COUNT`, `line 2: "alice:1" is not OWNER:FIRST:COUNT`,
			`line 3: "alice::2" is not OWNER:FIRST:COUNT`, `line 4: ":1:2" is not OWNER:FIRST:COUNT`,
			`line 5: "alice:1:" is not OWNER:FIRST:COUNT`,
		}},
		{"not numbers", "alice:x:1\nalice:1:-1\nalice: 1:1\nalice:1_0:1\nalice:0b1:1\nalice:08:1\nalice:0x:1\n", alice, nil, []string{
			`line 1: "x" is not an id`, `line 2: "-1" is not a count of ids`, `line 3: " 1" is not an id`,
			`line 4: "1_0" is not an id`, `line 5: "0b1" is not an id`, `line 6: "08" is not an id`, `line 7: "0x" is not an id`,
		}},
		{"count 0", "alice:100000:0\n", alice, nil, []string{"line 1: the count is 0"}},
		{"beyond the highest id", "alice:4294967290:10\nalice:1:4294967296\n", alice, nil, []string{
			"line 1: 10 ids from 4294967290 on end beyond the highest id, 4294967294", `line 2: "4294967296" is not a count of ids`,
		}},
		{"control bytes are quoted", "\x1b]0;pwned\x07\n", alice, nil, []string{`line 1: "\x1b]0;pwned\a" is not OWNER:FIRST:COUNT`}},
		{"lines of other owners count as malformed too", "bob:x:1\nalice:1:1\n", alice, []SubRange{{1, 1}}, []string{`line 1: "x" is not an id`}},
		{"longest line", "alice:1:1:" + strings.Repeat("x", maxSubLine-10) + "\n", alice, []SubRange{{1, 1}}, nil},
		{
			"line too long", "alice:1:1:" + strings.Repeat("x", maxSubLine-9) + "\nalice:2:1\n", alice,
			[]SubRange{{2, 1}},
			[]string{"line 1: the line is longer than 1023 bytes"},
		},
		{"last line too long", strings.Repeat("x", 5000), alice, nil, []string{"line 1: the line is longer than 1023 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
				got, err := ParseSub(r, c.owner)
				require.NoError(t, err)
				assert.Equal(t, c.want, got.Ranges)
				assert.Equal(t, c.malformed, lines(got))
			}
		})
	}
}

func TestParseSubEnd(t *testing.T) {
	for text, want := range map[string]uint64{
		"":                                   0,
		"x\n":                                0,
		"bob:100000:65536\nalice:50:1\n":     165536,
		"bob:4294967294:1\nbob:5:x\n":        MaxID + 1,
		"bob:100000:65536\nbob:500000:x:1\n": 165536,
	} {
		got, err := ParseSub(strings.NewReader(text), Owner{UID: 5})
		require.NoError(t, err)
		assert.Equal(t, want, got.End, text)
	}
}

func TestParseSubBounds(t *testing.T) {
	t.Run("ranges", func(t *testing.T) {
		got, err := ParseSub(strings.NewReader(strings.Repeat("5:100000:1\n", 2*MaxLines)), Owner{UID: 5})
		require.NoError(t, err)
		assert.Len(t, got.Ranges, MaxLines)
	})
	t.Run("malformed lines", func(t *testing.T) {
		got, err := ParseSub(strings.NewReader(strings.Repeat("x\n", 100)), Owner{UID: 5})
		require.NoError(t, err)
		assert.Len(t, got.Malformed, maxSubMalformed)
	})
	t.Run("a file without end", func(t *testing.T) {
		zero, err := os.Open("/dev/zero")
		require.NoError(t, err)
		defer zero.Close()
		_, err = ParseSub(zero, Owner{})
		require.ErrorContains(t, err, "longer than")
	})
	t.Run("the reader fails", func(t *testing.T) {
		broken := errors.New("broken")
		_, err := ParseSub(io.MultiReader(strings.NewReader("a:1:1\n"), iotest.ErrReader(broken)), Owner{})
		require.ErrorIs(t, err, broken)
		_, err = ParseSub(io.MultiReader(strings.NewReader(strings.Repeat("a", 5000)), iotest.ErrReader(broken)), Owner{})
		require.ErrorIs(t, err, broken, "in the rest of a long line")
	})
}

func FuzzParseSub(f *testing.F) {
	f.Add("alice:100000:65536\n1000:165536:65536\n")
	f.Add("# c\n\nalice:0x10:010:z\nx\n")
	f.Add(strings.Repeat("y", 1100) + "\nalice:1:1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSub(strings.NewReader(text), Owner{UID: 1000, Names: []string{"alice"}})
		require.NoError(t, err)
		require.LessOrEqual(t, len(s.Ranges), MaxLines)
		require.LessOrEqual(t, len(s.Malformed), maxSubMalformed)
		for _, e := range s.Malformed {
			requireOneLine(t, e)
			require.LessOrEqual(t, e.Line, strings.Count(text, "\n")+1)
		}
		for _, r := range s.Ranges {
			require.NoError(t, Map{{0, r.First, r.Count}}.Validate())
		}
		m, err := Auto(1000, s.Ranges)
		if err != nil {
			require.ErrorIs(t, err, ErrNoSubIDs)
			return
		}
		require.NoError(t, m.Validate())
	})
}
