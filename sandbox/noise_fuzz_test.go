package sandbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzSteal(f *testing.F) {
	f.Add([]byte("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n"))
	f.Add([]byte("cpu 0 0 0 0 0 0 0 -1 0"))
	f.Add([]byte("cpu\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if steal := parseSteal(text); !steal.Known {
			require.Zero(t, steal.Value)
		}
	})
}
