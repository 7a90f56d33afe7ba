package idmap

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseFlag(t *testing.T) {
	for _, c := range []struct {
		value string
		want  Choice
		err   string
	}{
		{"self", Choice{}, ""},
		{"auto", Choice{Mode: ModeAuto}, ""},
		{"auto:isolated", Choice{Mode: ModeIsolated}, ""},
		{"0:1000:1", Choice{ModeExplicit, Map{{0, 1000, 1}}}, ""},
		{"0:1000:1,1:100000:65536", Choice{ModeExplicit, Map{{0, 1000, 1}, {1, 100000, 65536}}}, ""},

		{"", Choice{}, "the map is empty: want self, auto"},
		{"Self", Choice{}, `"Self" is not a map: want self, auto, auto:isolated or INSIDE:OUTSIDE:COUNT`},
		{"auto:", Choice{}, "want self"},
		{"0:1000", Choice{}, `"0:1000" is not a map: the count is missing; did you mean 0:1000:1?`},
		{"0:1000:1,", Choice{}, `"" is not a map`},
		{"0:1000:x", Choice{}, "such as 0:100000:65536"},
		{"0:-1:1", Choice{}, `"0:-1:1" is not a map`},
		{"0:1000:+1", Choice{}, `is not a map`},
		{"0:1000: 1", Choice{}, `is not a map`},
		{"0:4294967296:1", Choice{}, `"4294967296" is beyond the highest id, 4294967294`},
		{"0:4294967295:1", Choice{}, "ends outside beyond 4294967294"},
		{"0:1000:0", Choice{}, `"0:1000:0": line 1 (0:1000:0) has a count of 0`},
		{"0:1000:1,0:2000:1", Choice{}, "overlaps line 1 (0:1000:1) inside"},
		{"0:1:2:3", Choice{}, "want self"},
		{"\x1b[31m", Choice{}, `"\x1b[31m" is not a map`},
		{strings.Repeat("0:0:1,", MaxLines+1), Choice{}, "the kernel takes 340"},
	} {
		t.Run(c.value[:min(len(c.value), 30)], func(t *testing.T) {
			got, err := ParseFlag(c.value)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.value, got.String())
		})
	}
	assert.Equal(t, ModeSelf, Choice{}.Mode, "the zero value is the mode without powers")
}

func TestParseUser(t *testing.T) {
	for _, c := range []struct {
		value string
		want  User
		err   string
	}{
		{"0", User{}, ""},
		{"1000", User{UID: 1000, GID: 1000}, ""},
		{"1000:100", User{UID: 1000, GID: 100}, ""},
		{"4294967294", User{UID: MaxID, GID: MaxID}, ""},
		{"caller", User{Caller: true}, ""},

		{"", User{}, `"" is not a user`},
		{":", User{}, "want numbers"},
		{"1000:", User{}, "want numbers"},
		{":5", User{}, "want numbers"},
		{"root", User{}, `"root" is not a user: want numbers, UID or UID:GID (such as 1000:1000), or caller; names are not looked up`},
		{"1:2:3", User{}, "want numbers"},
		{"-1", User{}, "want numbers"},
		{"4294967295", User{}, "beyond the highest id"},
		{"0:99999999999999999999", User{}, "beyond the highest id"},
	} {
		t.Run(c.value, func(t *testing.T) {
			got, err := ParseUser(c.value)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				assert.Zero(t, got)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
			again, err := ParseUser(got.String())
			require.NoError(t, err)
			assert.Equal(t, got, again)
		})
	}
}

func FuzzParseFlag(f *testing.F) {
	for _, s := range []string{"self", "auto", "auto:isolated", "0:1000:1", "0:1000:1,1:100000:65536", "0:1000", ",", ":"} {
		f.Add(s)
	}
	f.Add("0:1:" + strings.Repeat("9", 2000))
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseFlag(s)
		if err != nil {
			requireOneLine(t, err)
			return
		}
		if c.Mode == ModeExplicit {
			checkMap(t, c.Map)
		}
		again, err := ParseFlag(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

func FuzzParseUser(f *testing.F) {
	for _, s := range []string{"0", "caller", "1000:1000", "x", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUser(s)
		if err != nil {
			requireOneLine(t, err)
			return
		}
		require.LessOrEqual(t, u.UID, uint32(MaxID))
		require.LessOrEqual(t, u.GID, uint32(MaxID))
		again, err := ParseUser(u.String())
		require.NoError(t, err)
		require.Equal(t, u, again)
	})
}

// requireOneLine asserts that an error can be printed on a terminal whatever the
// value was, and does not repeat a value of any length.
func requireOneLine(t *testing.T, err error) {
	t.Helper()
	bad := strings.IndexFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' })
	require.Negativef(t, bad, "%q", err.Error())
	require.Less(t, len(err.Error()), 1000)
}
