package plain

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	names := []string{"mem", "memlock", "cpu", "wall", "bind", "env", "env-file", "q"}
	for word, want := range map[string]string{
		"mme": "mem", "memm": "mem", "mem-lock": "memlock", "cpus": "cpu", "wal": "wall", "wlal": "wall",
		"bnid": "bind", "env_file": "env-file", "xyz": "", "w": "", "": "", "Q": "",
		strings.Repeat("m", 5000): "",
	} {
		assert.Equal(t, want, Nearest(word, names), word)
	}
	assert.Equal(t, 1, distance("ab", "ba"))
	assert.Equal(t, 3, distance("kitten", "sitting"))
	assert.Equal(t, 4, distance("", "wall"))
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "",
		"plain /usr/bin":                   "plain /usr/bin",
		"ünïcödé 漢字 …":                     "ünïcödé 漢字 …",
		"a\tb\r\n":                         `a\tb\r\n`,
		"\x1b]0;title\a":                   `\x1b]0;title\a`,
		"\u009b31m":                        `\u009b31m`, // a C1 control sequence introducer
		"a\u202egpj.exe":                   `a\u202egpj.exe`,
		"\u2066\u200b\ufeff":               `\u2066\u200b\ufeff`,
		"\xff\xc3(":                        `\xff\xc3(`,
		"\\n stays":                        `\n stays`,
		"\ufffd":                           "\ufffd",
		"no\u00a0break":                    `no\u00a0break`,
		strings.Repeat("x", 2048):          strings.Repeat("x", 2048),
		strings.Repeat("x", 2049):          strings.Repeat("x", 2045) + "…",
		strings.Repeat("\x00", 1<<20):      strings.Repeat(`\x00`, 511) + "…",
		strings.Repeat("漢", 800):           strings.Repeat("漢", 681) + "…",
		"\U000e0041 tag, \U0001f4a9 emoji": `\U000e0041 tag, 💩 emoji`,
	} {
		assert.Equal(t, want, Printable(in), "%.40q", in)
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"x", "\x1b[31m", "\xff", "ü\u202e\u0085", strings.Repeat("\x00", 4000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := Printable(s)
		require.True(t, utf8.ValidString(p))
		require.LessOrEqual(t, len(p), 2048)
		require.Equal(t, p, Printable(p), "it may be applied twice")
		for _, r := range p {
			require.True(t, r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f), "%q", p)
		}
	})
}
