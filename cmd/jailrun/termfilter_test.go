package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func filtered(t *testing.T, chunks ...string) string {
	t.Helper()
	var out bytes.Buffer
	f := &termFilter{w: &out}
	for _, c := range chunks {
		n, err := f.Write([]byte(c))
		require.NoError(t, err)
		require.Equal(t, len(c), n)
	}
	return out.String()
}

func TestTermFilter(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"text", "hello, Grüße 日本 🎉\r\n\ttab\b\a", "hello, Grüße 日本 🎉\r\n\ttab\b\a"},
		{"colours", "\x1b[1;31mred\x1b[0m\x1b[38:5:9mx\x1b[m", "\x1b[1;31mred\x1b[0m\x1b[38:5:9mx\x1b[m"},
		{"moving", "\x1b[2K\x1b[10;20H\x1b[A", "\x1b[2K\x1b[10;20H\x1b[A"},
		{"title", "a\x1b]0;evil\x07b", "ab"},
		{"title, ST", "a\x1b]0;evil\x1b\\b", "ab"},
		{"clipboard", "\x1b]52;c;cm0gLXJmIH4K\x07ok", "ok"},
		{"DCS", "a\x1bP$qm\x1b\\b", "ab"},
		{"APC", "a\x1b_Gi=1;AAAA\x1b\\b", "ab"},
		{"PM", "a\x1b^x\x1b\\b", "ab"},
		{"SOS", "a\x1bXx\x1b\\b", "ab"},
		{"a string ended by another sequence", "a\x1b]0;x\x1b[31mb", "a\x1b[31mb"},
		{"a string in a string", "a\x1b]0;x\x1b]0;y\x07b", "ab"},
		{"cancelled", "a\x1b]0;x\x18b\x1bP\x1ac", "abc"},
		{"unfinished", "a\x1b]0;never ends", "a"},
		{"8-bit OSC", "a\x9d0;evil\x9cb", "ab"},
		{"UTF-8 OSC", "a\u009d0;evil\u009cb", "ab"},
		{"Ü is no ST", "a\x1b]0;Übel “quoted”\x07b", "ab"},
		{"8-bit CSI", "a\x9b31mb", "a31mb"},
		{"UTF-8 CSI", "a\u009b31mb", "a31mb"},
		{"C1", "\x1bD\x1bE\x1bM\x1bZ\x1bc\u0085x", "x"},
		{"device reports", "\x1b[c\x1b[6n\x1b[21t\x1b[>q\x1b[x", ""},
		{"modes that stay", "\x1b[?2004h\x1b[?1049h\x1b[4h\x1b[?25l\x1b[1;5r", ""},
		{"answerback and charsets", "a\x05\x0e\x0fb\x1b(0c\x1b)Bd", "abcd"},
		{"NUL and DEL", "a\x00b\x7fc", "abc"},
		{"CSI broken off", "\x1b[31\nm\x1b[3\x1b[31mx", "\nm\x1b[31mx"},
		{"CSI with an intermediate", "\x1b[ q\x1b[1$px", "x"},
		{"too long a CSI", "\x1b[" + strings.Repeat("1;", 100) + "mx", "x"},
		{"not UTF-8", "caf\xe9 \xff\xfe", "caf\ufffd \ufffd\ufffd"},
		{"cut character", "\xc3x\xe2\x82y", "\ufffdx\ufffdy"},
		{"a cut character before an escape", "\xc3\x1b[31mx", "\ufffd\x1b[31mx"},
		{"two halves do not meet", "\xc2\x1b]0;x\x07\x9b31m", "\ufffd31m"},
		{"surrogate", "\xed\xa0\x80", "\ufffd\ufffd"},
		{"ESC ESC", "\x1b\x1b[31mx\x1b\x1b]0;x\x07y", "\x1b[31mxy"},
		{"a lone ESC", "x\x1b", "x"},
	} {
		assert.Equal(t, c.want, filtered(t, c.in), c.name)
		// In single bytes it comes out the same.
		assert.Equal(t, c.want, filtered(t, strings.Split(c.in, "")...), c.name)
		var bytewise []string
		for i := range len(c.in) {
			bytewise = append(bytewise, c.in[i:i+1])
		}
		assert.Equal(t, c.want, filtered(t, bytewise...), c.name)
	}
}

func TestTermFilterFails(t *testing.T) {
	f := &termFilter{w: iotest.TruncateWriter(failing{}, 1)}
	_, err := f.Write([]byte("text"))
	require.ErrorIs(t, err, errWrite)
	n, err := f.Write([]byte("\x1b]0;nothing passes\x07"))
	require.NoError(t, err)
	assert.Equal(t, 19, n)
}

type failing struct{}

var errWrite = errors.New("no")

func (failing) Write([]byte) (int, error) { return 0, errWrite }

func FuzzTermFilter(f *testing.F) {
	for _, s := range []string{"x", "\x1b]0;t\x07", "\x1b[1;31m", "\xc2\x9b", "Ü\x1bP\x9c", "\x1b[?1h"} {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		whole := filtered(t, string(in))
		at = max(0, min(at, len(in)))
		assert.Equal(t, whole, filtered(t, string(in[:at]), string(in[at:])), "however it is cut")
		assert.True(t, utf8.ValidString(whole))
		assert.Equal(t, whole, filtered(t, whole), "what passed passes again")
		rest := whole
		for rest != "" {
			r, n := utf8.DecodeRuneInString(rest)
			if r == esc {
				require.True(t, strings.HasPrefix(rest, "\x1b["), "%q", whole)
				end := strings.IndexAny(rest, plainCSI)
				require.Positive(t, end, "%q", whole)
				require.Empty(t, strings.Trim(rest[2:end], "0123456789;:"), "%q", whole)
				n = end + 1
			} else {
				require.False(t, r >= 0x80 && r <= 0x9f || r < ' ' && (r < '\a' || r > '\r') || r == 0x7f, "%q", whole)
			}
			rest = rest[n:]
		}
		// Plain text is not touched.
		if utf8.Valid(in) && !bytes.ContainsFunc(in, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }) {
			assert.Equal(t, string(in), whole)
		}
	})
}

func BenchmarkTermFilter(b *testing.B) {
	line := []byte(strings.Repeat("a line of \x1b[32mplain\x1b[0m text, Grüße\n", 1000))
	f := &termFilter{w: failingNever{}}
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		_, _ = f.Write(line)
	}
}

type failingNever struct{}

func (failingNever) Write(b []byte) (int, error) { return len(b), nil }
