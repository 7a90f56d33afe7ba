package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzEnvFile: each line is a variable, or nothing, or an error that names it.
func FuzzEnvFile(f *testing.F) {
	for _, s := range []string{"A=b\n", "# x\n\n A=b\r\n", "=x", "A", "A=\x00", "A=b=c\nB='q'", "\r\n\t#"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(t.TempDir(), "env")
		require.NoError(t, os.WriteFile(name, text, 0o600))
		r := &request{}
		if err := r.addEnvFile(name); err != nil {
			require.True(t, strings.HasPrefix(err.Error(), name+":"), err.Error())
			return
		}
		for _, kv := range r.env {
			key, _, ok := strings.Cut(kv, "=")
			require.True(t, ok && key != "")
			require.NotContains(t, kv, "\x00")
			require.NotContains(t, kv, "\n")
		}
	})
}
