package idmap

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	many := func(n int, step uint32) Map {
		m := make(Map, n)
		for i := range m {
			m[i] = Range{uint32(i) * step, uint32(i) * step, 1}
		}
		return m
	}
	for _, c := range []struct {
		name string
		m    Map
		want string // part of the error, "" for none
	}{
		{"one id", Map{{0, 1000, 1}}, ""},
		{"what init shows", Map{{0, 0, MaxID + 1}}, ""},
		{"the highest id", Map{{MaxID, MaxID, 1}}, ""},
		{"neighbours", Map{{0, 1000, 1}, {1, 100000, 65536}, {65537, 1001, 1}}, ""},
		{"most lines", many(MaxLines, 2), ""},

		{"none", nil, "no lines"},
		{"too many lines", many(MaxLines+1, 2), "341 lines"},
		{"too much text", many(MaxLines, 10_000_000), "bytes long"},
		{"count 0", Map{{0, 1000, 1}, {0, 5, 0}}, "line 2 (0:5:0) has a count of 0"},
		{"inside -1", Map{{1<<32 - 1, 0, 1}}, "beyond 4294967294"},
		{"outside -1", Map{{0, 1<<32 - 1, 1}}, "ends outside beyond 4294967294"},
		{"inside reaches -1", Map{{1<<32 - 2, 0, 2}}, "ends inside"},
		{"inside wraps", Map{{1 << 31, 0, 1<<31 + 5}}, "ends inside"},
		{"outside wraps", Map{{0, 1<<32 - 2, 1<<32 - 1}}, "ends outside"},
		{"same inside", Map{{0, 1000, 1}, {0, 2000, 1}}, "overlaps line 1 (0:1000:1) inside"},
		{"same outside", Map{{0, 1000, 10}, {50, 1009, 1}}, "line 2 (50:1009:1) overlaps line 1 (0:1000:10) outside"},
		{"one in the other", Map{{100, 5000, 1}, {0, 9000, 1000}}, "overlaps line 1 (100:5000:1) inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.m.Validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	require.ErrorIs(t, Map{}.Validate(), ErrEmpty)
}

func TestLookups(t *testing.T) {
	m := Map{{0, 1000, 1}, {1, 100000, 65536}, {MaxID, 7, 1}}
	for _, c := range []struct{ inside, outside uint32 }{
		{0, 1000}, {1, 100000}, {65536, 165535}, {MaxID, 7},
	} {
		out, ok := m.ToOutside(c.inside)
		assert.True(t, ok)
		assert.Equal(t, c.outside, out)
		in, ok := m.ToInside(c.outside)
		assert.True(t, ok)
		assert.Equal(t, c.inside, in)
	}
	for _, inside := range []uint32{65537, MaxID - 1, 1<<32 - 1} {
		_, ok := m.ToOutside(inside)
		assert.False(t, ok, inside)
	}
	for _, outside := range []uint32{0, 999, 1001, 99999, 165536, 1<<32 - 1} {
		_, ok := m.ToInside(outside)
		assert.False(t, ok, outside)
	}
	_, ok := Map(nil).ToOutside(0)
	assert.False(t, ok)
	assert.EqualValues(t, 65538, m.Size())
}

func TestTexts(t *testing.T) {
	m := Map{{0, 1000, 1}, {1, 100000, 65536}}
	assert.Equal(t, "0 1000 1\n1 100000 65536\n", string(m.Kernel()))
	assert.Equal(t, "0:1000:1,1:100000:65536", m.String())
	assert.Empty(t, Map(nil).String())
	assert.Empty(t, Map(nil).Kernel())
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Map
		err        string
	}{
		{"not written yet", "", nil, ""},
		{"init", "         0          0 4294967295\n", Map{{0, 0, 4294967295}}, ""},
		{
			"rootless podman", "         0       1000          1\n         1     100000      65536\n",
			Map{{0, 1000, 1}, {1, 100000, 65536}},
			"",
		},
		{"outside unknown to the reader", "0 4294967295 1\n", Map{{0, 4294967295, 1}}, ""},
		{"no newline", "0 1 2", Map{{0, 1, 2}}, ""},
		{"two words", "0 1\n", nil, "line 1"},
		{"four words", "0 0 1\n0 1 2 3\n", nil, "line 2"},
		{"sign", "-1 0 1\n", nil, "line 1"},
		{"too big", "0 0 4294967296\n", nil, "line 1"},
		{"blank line", "0 0 1\n\n", nil, "line 2"},
		{"control bytes", "\x1b]0;x\x07\n", nil, `"\x1b]0;x\a" is not`},
		{"too many", strings.Repeat("0 0 1\n", MaxLines+1), nil, "at most 340"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse(c.text)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, m)
		})
	}
}

// checkMap asserts what must hold for every valid map.
func checkMap(t *testing.T, m Map) {
	t.Helper()
	require.NoError(t, m.Validate())
	for _, r := range m {
		for _, in := range []uint32{r.Inside, r.Inside + r.Count/2, r.Inside + r.Count - 1} {
			out, ok := m.ToOutside(in)
			require.True(t, ok)
			back, ok := m.ToInside(out)
			require.True(t, ok)
			require.Equal(t, in, back, "ToInside∘ToOutside in %v", m)
		}
	}
	parsed, err := Parse(string(m.Kernel()))
	require.NoError(t, err)
	require.Equal(t, m, parsed)
	choice, err := ParseFlag(m.String())
	require.NoError(t, err)
	require.Equal(t, Choice{Mode: ModeExplicit, Map: m}, choice)
}

func TestRandomMaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	valid := 0
	for range 2000 {
		m := make(Map, 1+rng.IntN(6))
		for i := range m {
			m[i] = Range{rng.Uint32(), rng.Uint32(), 1 + rng.Uint32N(1<<(1+rng.Uint32N(31)))}
		}
		if m.Validate() == nil {
			valid++
			checkMap(t, m)
		}
	}
	require.Greater(t, valid, 200, "the generator must make valid maps, or nothing was tested")
}

func FuzzParse(f *testing.F) {
	f.Add("         0          0 4294967295\n")
	f.Add("0 1000 1\n1 100000 65536\n")
	f.Add("0 1")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(m), MaxLines)
		if m.Validate() == nil {
			checkMap(t, m)
		}
	})
}
