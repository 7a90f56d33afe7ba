package profile

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDecode: a compiled filter that comes from a file is a program, or an error,
// and the same bytes again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{6, 0, 0, 0, 0, 0, 255, 127})
	f.Add([]byte{0x20, 0, 0, 0, 0, 0, 0, 0, 0x15, 0, 0, 9, 1, 2, 3, 4})
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := Decode(raw)
		if err != nil {
			return
		}
		require.Len(t, raw, 8*len(list))
		require.Equal(t, string(raw), string(Encode(list)))
		_, _ = NewVM(raw)
	})
}
