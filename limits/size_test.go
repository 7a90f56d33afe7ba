package limits

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0":                         0,
		"65536":                     65536,
		"65536b":                    65536,
		"1k":                        KiB,
		"1KB":                       KiB,
		"1KiB":                      KiB,
		"100m":                      100 * MiB,
		"100 MiB":                   100 * MiB,
		"1.5GiB":                    3 * GiB / 2,
		"1.50g":                     3 * GiB / 2,
		"0.1k":                      102,
		"2t":                        2 * TiB,
		"8191p":                     8191 * PiB,
		"1.0":                       1,
		"9223372036854775807":       math.MaxInt64,
		"0.000000000000000000":      0,
		"1.0000000000000000000000k": KiB,
		"0.999999999999999999p":     PiB - 1,
	} {
		got, err := ParseSize(text)
		if assert.NoError(t, err, text) {
			assert.Equal(t, want, got, text)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                      `size "": it is empty; write plain bytes or a number with k, m, g or t, like 100m`,
		"10x":                   `size "10x": unknown unit "x"; write plain bytes or a number with k, m, g or t, like 100m`,
		"-1":                    `size "-1": it is negative; write plain bytes or a number with k, m, g or t, like 100m`,
		"9223372036854775808":   `size "9223372036854775808": more than 2^63-1 bytes; use at most 8191p`,
		"8192p":                 `size "8192p": more than 2^63-1 bytes; use at most 8191p`,
		"99999999999999999999":  `size "99999999999999999999": the number is too large; write plain bytes or a number with k, m, g or t, like 100m`,
		"1.5":                   `size "1.5": a fraction needs a unit; write plain bytes or a number with k, m, g or t, like 100m`,
		"0.0001k":               `size "0.0001k": less than one byte; write plain bytes or a number with k, m, g or t, like 100m`,
		"1.k":                   `size "1.k": no digit follows the point; write plain bytes or a number with k, m, g or t, like 100m`,
		"1.2345678901234567891": `size "1.2345678901234567891": too many digits after the point; write plain bytes or a number with k, m, g or t, like 100m`,
		"NaN":                   `size "NaN": it does not start with a number; write plain bytes or a number with k, m, g or t, like 100m`,
	} {
		_, err := ParseSize(text)
		require.EqualError(t, err, want, text)
	}
	for _, text := range []string{"inf", "+1", " 1", "1 ", "1  k", "1e9", "0x10", "1_000", "1kk", "1ki", "1mbb", "1,5g", ".5g", "k", "१", "1\x00"} {
		_, err := ParseSize(text)
		assert.Error(t, err, text)
	}
}

func TestSizeStrings(t *testing.T) {
	for size, want := range map[Size][2]string{
		0:             {"0", "0 bytes"},
		1023:          {"1023", "1023 bytes"},
		KiB:           {"1k", "1 KiB"},
		65537:         {"65537", "64 KiB"},
		100 * MiB:     {"100m", "100 MiB"},
		1536 * MiB:    {"1536m", "1.5 GiB"},
		2 * GiB:       {"2g", "2 GiB"},
		GiB - 1:       {"1073741823", "1023.9 MiB"},
		2048 * PiB:    {"2048p", "2048 PiB"},
		math.MaxInt64: {"9223372036854775807", "8191.9 PiB"},
	} {
		assert.Equal(t, want, [2]string{size.String(), size.Human()})
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"100m", "1.5GiB", "65536", "8191p", "-1", "0.1k", "1.5", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err != nil {
			assert.Less(t, len(err.Error()), 1024, "a long value must not become a long message")
			return
		}
		require.LessOrEqual(t, uint64(size), uint64(math.MaxInt64))
		again, err := ParseSize(size.String())
		require.NoError(t, err)
		require.Equal(t, size, again)
	})
}
