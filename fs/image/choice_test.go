package image

import (
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChoice: which image of a layout is meant must be said.
func TestChoice(t *testing.T) {
	t.Parallel()
	l := newLayout(t)
	l.add("a", "", tarOf(t, file("a", "")))
	l.add("b", "", tarOf(t, file("b", "")))
	s := newStore(t)
	for tag, want := range map[string]string{"": "it has a, b", "c": `tag "c"; it has a, b`} {
		_, err := s.Import(t.Context(), l.source(tag), Options{})
		require.ErrorIs(t, err, ErrNoImage)
		assert.Contains(t, err.Error(), want)
	}
	_, err := s.Import(t.Context(), Source{Layout, "/no/such/dir", ""}, Options{})
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = s.Import(t.Context(), l.source("a"), Options{Name: "../x"})
	assert.ErrorContains(t, err, `name "../x"`)
}

// TestPlatforms: of images for several machines that of this one is taken, also
// if they share a tag.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	l := newLayout(t)
	s := newStore(t)
	fails := func(reason string) {
		t.Helper()
		before := snapshot(t, s)
		_, err := s.Import(t.Context(), l.source("v1"), Options{})
		require.ErrorIs(t, err, ErrNoImage)
		assert.ErrorContains(t, err, reason)
		assert.Equal(t, before, snapshot(t, s))
	}
	platform := func(arch string) {
		l.index[len(l.index)-1]["platform"] = map[string]string{"os": "linux", "architecture": arch}
		require.NoError(t, os.WriteFile(l.dir+"/index.json", l.json(map[string]any{"schemaVersion": 2, "manifests": l.index}), 0o644))
	}
	require.NoError(t, os.WriteFile(l.dir+"/index.json", []byte(`{"schemaVersion":2,"manifests":[]}`), 0o644))
	fails("it has none")
	for _, arch := range []string{"vax", "pdp11", runtime.GOARCH, "unknown"} {
		l.add("v1", "", tarOf(t, file("of-"+arch, "")))
		platform(arch)
		if arch == "pdp11" {
			fails("for linux/" + runtime.GOARCH + ": it has linux/vax, linux/pdp11")
		}
	}
	_, m := imported(t, s, l.source("v1"), Options{})
	assert.Equal(t, map[string]string{"of-" + runtime.GOARCH: "0644 "}, look(t, s.Layers()+"/"+m.Layers[0]))
	_, err := s.Import(t.Context(), Source{Kind: Layout, Path: l.dir + "/index.json"}, Options{})
	assert.ErrorContains(t, err, "is a file, and an OCI layout is a directory")
}
