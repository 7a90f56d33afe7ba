package main

import (
	"go/build"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Everything that jailrun links is paid for at every start. This guards the
// list of what its own packages import; the packages are read, not built.
func TestImportsStayLean(t *testing.T) {
	const module = "github.com/jailrun/jailrun"
	heavy := []string{
		"flag", "log", "log/slog", "net", "net/http", "regexp", "text/template", "html/template", "testing",
		"encoding/xml", "encoding/gob", "compress/gzip", "archive/tar", "crypto/tls", "database/sql", "plugin", "expvar", "C",
	}
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		p, err := build.Default.ImportDir("../.."+strings.TrimPrefix(path, module), 0)
		require.NoError(t, err, path)
		for _, i := range p.Imports {
			switch {
			case strings.HasPrefix(i, module+"/"):
				visit(i)
			case strings.Contains(i, "."):
				assert.Equal(t, "golang.org/x/sys/unix", i, "%s imports it", path)
			default:
				assert.NotContains(t, heavy, i, "%s imports it", path)
			}
		}
	}
	visit(module + "/cmd/jailrun")
	assert.True(t, seen[module+"/sandbox/prog"])
	for _, p := range []string{"/sandbox/hclogtrace", "/netslirp", "/jobspec", "/bench", "/tests"} {
		assert.False(t, seen[module+p], p)
	}
}
