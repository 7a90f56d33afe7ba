package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPromises: every test that SECURITY.md names exists in the package that it
// names, and every promise names at least one.
func TestPromises(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../SECURITY.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`([a-z/]+)\\.(Test[A-Za-z0-9]+)`").FindAllSubmatch(text, -1)
	require.Greater(t, len(named), 20)
	for _, m := range named {
		files, err := filepath.Glob(filepath.Join("..", string(m[1]), "*_test.go"))
		require.NoError(t, err)
		found := false
		for _, f := range files {
			source, err := os.ReadFile(f)
			require.NoError(t, err)
			found = found || regexp.MustCompile(`(?m)^func `+string(m[2])+`\(t \*testing\.T\)`).Match(source)
		}
		assert.True(t, found, "SECURITY.md names %s.%s", m[1], m[2])
	}
	promises := regexp.MustCompile(`(?m)^[0-9]+\. \*\*.*$`).FindAll(text, -1)
	require.GreaterOrEqual(t, len(promises), 8)
	for _, p := range promises {
		assert.Regexp(t, "Tests: ", string(p))
	}
}
