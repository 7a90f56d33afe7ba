package idmap

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNames(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/bash\n" +
		"# comment\n\nbroken\nalice:x:1000\n:x:1000:1:::\n" +
		"long:x:1000:1:" + "GECOS" +
		":/:/bin/sh\nbob:x:1000:1000::/:/bin/sh"
	for _, c := range []struct {
		text string
		uid  uint32
		want []string
	}{
		{passwd, 0, []string{"root"}},
		{passwd, 1000, []string{"long", "bob"}},
		{passwd, 1, nil},
		{"", 0, nil},
		{strings.Replace(passwd, "GECOS", strings.Repeat("x", 2000), 1), 1000, []string{"bob"}},
		{strings.Repeat("a:x:5:5:::\n", 100), 5, []string{"a", "a", "a", "a", "a", "a", "a", "a"}},
	} {
		got, err := Names(strings.NewReader(c.text), c.uid)
		require.NoError(t, err)
		assert.Equal(t, c.want, got)
	}
	broken := errors.New("broken")
	_, err := Names(iotest.ErrReader(broken), 0)
	require.ErrorIs(t, err, broken)
}

func FuzzNames(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", uint32(0))
	f.Fuzz(func(t *testing.T, text string, uid uint32) {
		names, err := Names(strings.NewReader(text), uid)
		require.NoError(t, err)
		for _, n := range names {
			require.NotEmpty(t, n)
			require.NotContains(t, n, ":")
			require.Contains(t, text, n+":")
		}
	})
}
