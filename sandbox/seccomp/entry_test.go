package seccomp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func anEntry(t testing.TB) *Entry {
	t.Helper()
	plain, err := Filter("judge", false)
	require.NoError(t, err)
	noMemfd, err := Filter("judge", true)
	require.NoError(t, err)
	return &Entry{Compiler: CompilerID("v1", [2]int{6, 1}), Source: []byte("profile p\n"), Filter: plain, NoMemfd: noMemfd}
}

func TestEntry(t *testing.T) {
	e := anEntry(t)
	b := e.Encode()
	got, err := DecodeEntry(b, e.Compiler, e.Source)
	require.NoError(t, err)
	assert.Equal(t, e, got)

	_, err = DecodeEntry(b, CompilerID("v2", [2]int{6, 1}), e.Source)
	require.ErrorIs(t, err, ErrStale)
	_, err = DecodeEntry(b, CompilerID("v1", [2]int{6, 2}), e.Source)
	require.ErrorIs(t, err, ErrStale)
	_, err = DecodeEntry(b, e.Compiler, []byte("profile q\n"))
	require.ErrorIs(t, err, ErrStale)
	for n := range len(b) {
		_, err = DecodeEntry(b[:n], e.Compiler, e.Source)
		require.Error(t, err, "%d of %d bytes", n, len(b))
	}
	_, err = DecodeEntry(append(b, 0), e.Compiler, e.Source)
	require.ErrorIs(t, err, ErrEntry)
}

// TestEntryFilters: an entry whose filter would open another ABI, or is no
// filter, is none.
func TestEntryFilters(t *testing.T) {
	ret := func(a Answer) []byte {
		return []byte{opRet, 0, 0, 0, byte(a), byte(a >> 8), byte(a >> 16), byte(a >> 24)}
	}
	for name, raw := range map[string][]byte{
		"nothing":        nil,
		"half":           {6, 0, 0, 0},
		"allows all":     ret(retAllow),
		"no end":         {0x20, 0, 0, 0, 0, 0, 0, 0},
		"a foreign load": append([]byte{0x20, 0, 0, 0, 64, 0, 0, 0}, ret(retErrno)...),
	} {
		e := anEntry(t)
		e.NoMemfd = raw
		_, err := DecodeEntry(e.Encode(), e.Compiler, e.Source)
		assert.Error(t, err, name)
	}
	assert.NoError(t, CheckFilter(ret(retErrno|1)))
}

func FuzzDecodeEntry(f *testing.F) {
	e := anEntry(f)
	f.Add(e.Encode())
	f.Add([]byte(entryMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := DecodeEntry(b, e.Compiler, e.Source)
		if err != nil {
			return
		}
		require.Equal(t, e.Source, got.Source)
		require.NoError(t, CheckFilter(got.Filter))
		require.Equal(t, b, got.Encode())
	})
}
