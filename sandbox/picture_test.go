package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/limits"
)

// TestDocumentedPicture: the picture in docs/filesystem.md is what the command
// above it prints.
func TestDocumentedPicture(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"root", "tools", "data", "work"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	f := aHost(1000)
	f.dir = filepath.Join(dir, "work")
	p, err := newPlan(&Spec{
		Args: []string{"true"}, Rootfs: filepath.Join(dir, "root"), Layers: []string{filepath.Join(dir, "tools")},
		Binds: []Bind{{Source: filepath.Join(dir, "data"), Target: "/data"}},
		Tmpfs: []Tmpfs{{Target: "/scratch", Size: 64 * limits.MiB}},
	}, f, build{identity: identity{uid: idmap.Self(0, 1000), gid: idmap.Self(0, 1000)}})
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, p.Picture(&text))
	doc, err := os.ReadFile("../docs/filesystem.md")
	require.NoError(t, err)
	drawn := strings.ReplaceAll(text.String(), dir, "/srv")
	assert.Contains(t, string(doc), "    "+strings.ReplaceAll(strings.TrimSuffix(drawn, "\n"), "\n", "\n    "), drawn)
}
