package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"batch\n-j\n2\nx.yaml", "judge\n--var\na=b\n.", "replay\n--job\nx\nresults", "batch\n--memory=1g\n--\n-x", "batch\n--time-limit\n-1s\nx", "x\n--var\n=\n-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, "\n")
		o, err := parse(words[0], "help", words[1:])
		if err == nil {
			require.LessOrEqual(t, len(o.files)+len(o.vars), len(words)-1)
			require.NotContains(t, o.vars, "")
		}
	})
}

// FuzzFindRecord: a file of results may be a stranger's.
func FuzzFindRecord(f *testing.F) {
	const one = `{"version":1,"verdict":"exited","batch":{"id":"a","replay":{"job":{"run":["x"]}}}}`
	for _, s := range []string{"", one, one + "\n" + strings.Replace(one, `"a"`, `"b"`, 1), "{}", "null", "[1]", `{"batch":null}`, `{"batch":{"id":1}}`, "{"} {
		f.Add([]byte(s), "a")
		f.Add([]byte(s), "")
	}
	f.Fuzz(func(t *testing.T, text []byte, id string) {
		name := filepath.Join(t.TempDir(), "results")
		require.NoError(t, os.WriteFile(name, text, 0o600))
		r, err := findRecord(name, id)
		if err != nil {
			require.Nil(t, r)
			return
		}
		require.NotEmpty(t, r.Entry.ID)
		require.NotNil(t, r.Result)
		if id != "" {
			require.Equal(t, id, r.Entry.ID)
		}
	})
}
