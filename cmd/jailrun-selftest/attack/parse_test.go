package attack

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParse: what comes back from inside was in the hands of hostile programs.
func FuzzParse(f *testing.F) {
	f.Add("a blocked\nb escaped: x\n")
	f.Add("\n \n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		for name, out := range Parse(text) {
			require.NotContains(t, name, " ")
			require.NotContains(t, name+out, "\n")
			require.True(t, strings.Contains(text, name) && strings.Contains(text, out))
		}
	})
}
