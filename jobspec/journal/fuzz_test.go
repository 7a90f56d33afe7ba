package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzRead: a journal is a file, and any end of a machine may have written it.
// What is read of it is whole; what Resume goes on behind is what was read.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"", "\n", "{}\n", "{\"version\":1}\n{\"a\":1}\n", "{\"version\":1}\n{\"a\":", "{\"version\":1}\n{\"a\":1}", "{}\n\x00\x00\x00",
		"{}\n{torn\n{\"whole\":1}\n", "{}\r\n", "x\n{}\n", "{}\n{}\n\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		var lines [][]byte
		keep := func(line []byte) error {
			require.True(t, looksWhole(line))
			require.NotContains(t, string(line), "\n")
			lines = append(lines, bytes.Clone(line))
			return nil
		}
		if err := Read(path, keep, keep); err != nil {
			return
		}
		require.NotEmpty(t, lines, "the header")
		read := append(bytes.Join(lines, []byte("\n")), '\n')
		require.True(t, bytes.HasPrefix(text, read))
		lines = nil
		j, err := Resume(path, keep, keep, func([]byte) {})
		require.NoError(t, err)
		require.NoError(t, j.Append([]byte(`{"next":1}`)))
		require.NoError(t, j.Close())
		left, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(read)+"{\"next\":1}\n", string(left))
	})
}
