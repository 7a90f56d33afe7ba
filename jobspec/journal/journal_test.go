package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const header = `{"header":1}`

func collect(to *[]string) func([]byte) error {
	return func(line []byte) error {
		*to = append(*to, string(line))
		return nil
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	var told []string
	j, err := Create(path, []byte(header), func(line []byte) { told = append(told, string(line)) })
	require.NoError(t, err)
	_, err = Create(path, []byte(header), nil)
	assert.ErrorIs(t, err, ErrLocked)
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf(`{"n":%d}`, i))
		require.NoError(t, j.Append([]byte(want[i])))
	}
	assert.Error(t, j.Append([]byte("{\n}")))
	require.NoError(t, j.Close())
	assert.Equal(t, want, told)

	var head, lines []string
	j, err = Resume(path, collect(&head), collect(&lines), func([]byte) {})
	require.NoError(t, err)
	assert.Equal(t, []string{header}, head)
	assert.Equal(t, want, lines)
	require.NoError(t, j.Append([]byte(`{"n":1000}`)))
	require.NoError(t, j.Close())

	j, err = Create(path, []byte(header), nil)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	lines = nil
	require.NoError(t, Read(path+".old", collect(&head), collect(&lines)))
	assert.Len(t, lines, 1001, "the journal before is kept")
	_, err = Resume(path+"missing", nil, nil, nil)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestTorn cuts a journal at every byte: what was whole before it is there,
// and what is written next follows it.
func TestTorn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	whole := header + "\n" + `{"n":0}` + "\n" + `{"n":{"m":1}}` + "\n"
	for cut := len(header) + 1; cut <= len(whole); cut++ {
		for _, tail := range []string{"", "\x00\x00\x00", "\x00\n\x00\n"} {
			require.NoError(t, os.WriteFile(path, []byte(whole[:cut]+tail), 0o600))
			var head, lines []string
			j, err := Resume(path, collect(&head), collect(&lines), func([]byte) {})
			require.NoError(t, err, "%d %q", cut, tail)
			assert.Len(t, lines, strings.Count(whole[:cut], "\n")-1)
			require.NoError(t, j.Append([]byte(`{"new":1}`)))
			require.NoError(t, j.Close())
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, whole[:strings.LastIndexByte(whole[:cut], '\n')+1]+"{\"new\":1}\n", string(text))
		}
	}
	require.NoError(t, os.WriteFile(path, []byte(header+"\n{\"n\":0\n{\"n\":1}\n"), 0o600))
	_, err := Resume(path, collect(new([]string)), collect(new([]string)), nil)
	assert.ErrorContains(t, err, "is damaged", "damage in the middle is no torn end")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = Resume(path, collect(new([]string)), collect(new([]string)), nil)
	assert.ErrorContains(t, err, "is no journal")
}

// TestFailure: after the disk has failed, nothing passes for written.
func TestFailure(t *testing.T) {
	t.Parallel()
	j, err := Create(filepath.Join(t.TempDir(), "j"), []byte(header), func([]byte) {})
	require.NoError(t, err)
	require.NoError(t, j.f.Close())
	assert.Error(t, j.Append([]byte(`{"n":1}`)))
	assert.Error(t, j.Append([]byte(`{"n":2}`)))
	assert.Error(t, j.Close())
}
