package image

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	jfs "github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

func plainSource(t *testing.T, name string, content []byte) Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o644))
	return Source{Kind: Tar, Path: path}
}

// TestPlainTarWhiteouts: what a tar deletes means something over another root and
// nothing in a root of its own, where no name of it is left.
func TestPlainTarWhiteouts(t *testing.T) {
	t.Parallel()
	deletes := tarOf(t, file("d/keep", "k"), file(".wh.gone", ""), file("d/.wh.x", ""), file("own", "o"), file(".wh.own", ""), file("new/f", "f"), file("new/.wh..wh..opq", ""))
	root := map[string]string{"d": "directory 0755", "d/keep": "0644 k", "own": "0644 o", "new": "directory 0755", "new/f": "0644 f"}
	over := map[string]string{
		"d": "directory 0755", "d/keep": "0644 k", "own": "0644 o", "gone": "whiteout", "d/x": "whiteout", "new": "opaque directory 0755", "new/f": "0644 f",
	}
	for _, flat := range []bool{false, true} {
		s := newStore(t)
		s.flat = flat
		src := plainSource(t, "x.tar", deletes)
		got, m := imported(t, s, src, Options{Name: "x"})
		assert.False(t, got.Flat)
		require.Len(t, m.Layers, 1)
		assert.Equal(t, root, look(t, s.Layers()+"/"+m.Layers[0]))
		if flat {
			assert.Empty(t, m.Over, "such a store cannot keep what a layer deletes")
		} else {
			assert.Equal(t, over, look(t, s.Layers()+"/"+m.Over))
		}
		assert.EqualValues(t, len("kof"), got.Bytes, "counted once")
		_, err := s.Collect(nil)
		require.NoError(t, err)
		require.NoError(t, s.CheckLayers(m), "both directories are kept")
		require.NoError(t, s.Remove("x"))
		_, err = s.Collect(nil)
		require.NoError(t, err)
		assert.Empty(t, lookFiles(t, s))

		_, m = imported(t, s, plainSource(t, "y.tar", tarOf(t, file("f", ""))), Options{Name: "y"})
		assert.Equal(t, []string{m.Over}, m.Layers, "what deletes nothing is one and the same")
	}
}

// TestBadPlainTars: no digest tells that such a file is not whole, so its form
// must.
func TestBadPlainTars(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("some content ", 1000)
	whole := tarOf(t, file("a", content), file("b", content))
	gz, _ := pack(t, whole, "gzip")
	zst, _ := pack(t, whole, "zstd")
	half := (len(whole) - 1024) / 2 // between the entries
	halfGz, _ := pack(t, whole[:half], "gzip")
	damaged := append([]byte{}, gz...)
	damaged[len(damaged)-5] ^= 1
	for name, tt := range map[string]struct {
		content []byte
		reason  string
	}{
		"nothing":               {nil, "truncated"},
		"text":                  {[]byte(strings.Repeat("hello world\n", 100)), "damaged"},
		"cut in a file":         {whole[:half-2000], `"a": `},
		"cut between files":     {whole[:half], "it has no end"},
		"half of the end":       {whole[:len(whole)-512], "it has no end"},
		"gzip, cut":             {gz[:len(gz)/2], "compressed stream is truncated"},
		"gzip, cut in the head": {gz[:3], "compressed stream is truncated"},
		"gzip of half":          {halfGz, "it has no end"},
		"gzip, wrong sum":       {damaged, "compressed stream is damaged"},
		"zstd, cut":             {zst[:len(zst)/2], "compressed stream is truncated"},
		"zstd, junk":            {[]byte("\x28\xb5\x2f\xfd" + content), "compressed stream is damaged"},
		"bzip2":                 {[]byte("BZh91AY&SY"), "bzip2 or xz"},
		"docker save":           {tarOf(t, file("manifest.json", "[]"), file("repositories", "{}")), "named docker-archive:FILE"},
		"layout":                {tarOf(t, file("index.json", "{}"), file("oci-layout", "{}")), "named docker-archive:FILE"},
		"escape":                {tarOf(t, file("../x", "")), `"../x": refused`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			before := snapshot(t, s)
			src := plainSource(t, "x.tar", tt.content)
			_, err := s.Import(t.Context(), src, Options{})
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, src.Path, e.Image)
			assert.ErrorContains(t, err, tt.reason)
			assert.Equal(t, before, snapshot(t, s))
		})
	}
	s := newStore(t)
	imported(t, s, plainSource(t, "x.tar", whole), Options{}) // the control
	imported(t, s, plainSource(t, "x.tar", tarOf(t, file("manifest.json", "[]"))), Options{})
	_, err := s.Import(t.Context(), Source{Kind: Tar, Path: t.TempDir()}, Options{})
	assert.ErrorContains(t, err, "is a directory: an OCI layout is named oci:DIR")
}

// TestChain: what a job has written becomes the layer of the next one, three
// times, and what it has deleted stays deleted.
func TestChain(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	l.add("", "", hostDirs(t, file("data/a", "0\n"), file("data/b", "0\n"), file("data/dir/low", "0\n")))
	imported(t, s, l.source(""), Options{Name: "base"})
	dir := lane.Scratch(t)
	layers := []string{}
	run := func(script string) string {
		c := inImage("base", "/bin/sh", "-c", script)
		c.Layers = layers
		c.ImportImage = func(ctx context.Context, source string) (string, error) {
			src, err := ParseSource(source)
			if err != nil {
				return "", err
			}
			got, err := s.Import(ctx, src, Options{Name: "-"})
			if err != nil {
				return "", err
			}
			return got.ID, nil
		}
		c.Upper = lane.Scratch(t) + "/upper" // on a tmpfs nothing can be deleted before Linux 6.6
		c.ExportLayer = filepath.Join(dir, string(rune('1'+len(layers)))+".tar")
		out := output(t, c)
		layers = append(layers, c.ExportLayer)
		return out
	}
	const list = "; cd /data; find . | LC_ALL=C sort | tr '\\n' ' '"
	assert.Equal(t, ". ./b ./dir ./dir/one ./one ",
		run("rm -r /data/a /data/dir; mkdir /data/dir; echo 1 > /data/dir/one; ln /data/dir/one /data/one"+list))
	assert.Equal(t, ". ./b ./dir ./dir/two ", run("rm /data/one /data/dir/one; echo 2 > /data/dir/two; echo more >> /data/b"+list))
	assert.Equal(t, ". ./a ./b ./dir ./dir/two ", run("mkdir /data/a"+list), "a deleted name can be made again")
	assert.Empty(t, run("true"), "nothing is a layer too")
	assert.Equal(t, "0\nmore\n2\n. ./a ./b ./dir ./dir/two ", run("cat /data/b /data/dir/two"+list))
	assert.Equal(t, ". ./a ./b ./dir ./dir/low ./dir/one ./one ", func() string {
		layers = layers[:0]
		return run("cp /data/b /data/one; cp /data/b /data/dir/one" + list)
	}(), "the base is as it was")

	c := inImage("base", "/bin/true")
	c.Layers = []string{filepath.Join(dir, "1.tar"), filepath.Join(dir, "1.tar")}
	c.ImportImage = nil
	_, err := c.Run(t.Context())
	assert.ErrorIs(t, err, jfs.ErrNotImported, "1.tar is another one by now")
	var field *sandbox.FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "layer", field.Field)
}
