package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"import\n--name\nx\n--\n-a", "pull\n--max-size=1g\nb", "list\n--format=json", "rm\n-h", "import\n--max-entries=-1\nx", "gc\n--\n--", "x\n=\n--=\n-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, "\n")
		c, help, err := parse(words[0], words[1:])
		switch {
		case err != nil:
			var u *usageError
			require.ErrorAs(t, err, &u)
		case !help:
			require.LessOrEqual(t, len(c.args), len(words)-1)
			require.GreaterOrEqual(t, c.limits.Bytes, int64(0))
			require.GreaterOrEqual(t, c.limits.Entries, 0)
		}
	})
}
