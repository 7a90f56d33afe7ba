package image

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	jfs "github.com/jailrun/jailrun/fs"
)

// anImage makes an image with go-containerregistry, as a registry has it.
func anImage(t *testing.T, tars ...[]byte) v1.Image {
	t.Helper()
	img := empty.Image
	for _, b := range tars {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
		require.NoError(t, err)
		img, err = mutate.AppendLayers(img, l)
		require.NoError(t, err)
	}
	img, err := mutate.Config(img, v1.Config{Cmd: []string{"/bin/sh"}})
	require.NoError(t, err)
	return img
}

// TestPull: the same path from a registry on this machine.
func TestPull(t *testing.T) {
	t.Parallel()
	base, top := tarOf(t, file("base", "0")), tarOf(t, file("top", "1"), file(".wh.base", ""))
	damage := false
	real := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(registry.NewInMemoryBlobHandler()))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if damage && strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet {
			_, _ = w.Write([]byte("something else"))
			return
		}
		real.ServeHTTP(w, r)
	}))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/team/tool:v1"
	r, err := name.ParseReference(ref)
	require.NoError(t, err)
	img := anImage(t, base, top)
	require.NoError(t, remote.Write(r, img, remote.WithContext(t.Context())))

	s := newStore(t)
	got, m := imported(t, s, Source{Kind: Registry, Path: ref}, Options{})
	want, err := img.ConfigName()
	require.NoError(t, err)
	assert.Equal(t, want.String(), got.ID)
	assert.Equal(t, "tool:v1", got.Name)
	assert.Equal(t, []string{"/bin/sh"}, m.Cmd)
	assert.Equal(t, map[string]string{"top": "0644 1", "base": "whiteout"}, look(t, s.Layers()+"/"+m.Layers[1]))

	damage = true
	other := newStore(t)
	before := snapshot(t, other)
	_, err = other.Import(t.Context(), Source{Kind: Registry, Path: ref}, Options{})
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, ref, e.Image)
	assert.Equal(t, before, snapshot(t, other))
	damage = false

	_, err = other.Import(t.Context(), Source{Kind: Registry, Path: ref + "x"}, Options{})
	assert.ErrorIs(t, err, ErrNoImage)
	_, err = other.Import(t.Context(), Source{Kind: Registry, Path: "not a reference"}, Options{})
	assert.ErrorContains(t, err, "could not parse reference")
}

// dockerArchive writes what docker save writes, of images by their tags.
func dockerArchive(t *testing.T, images map[string]v1.Image) []byte {
	t.Helper()
	tagged := map[name.Tag]v1.Image{}
	for tag, img := range images {
		n, err := name.NewTag(tag)
		require.NoError(t, err)
		tagged[n] = img
	}
	var b bytes.Buffer
	require.NoError(t, tarball.MultiWrite(tagged, &b))
	return b.Bytes()
}

func TestDockerArchive(t *testing.T) {
	t.Parallel()
	one := anImage(t, tarOf(t, file("base", "0")), tarOf(t, file("top", "1")))
	two := anImage(t, tarOf(t, file("two", "2")))
	dir := t.TempDir()
	single := dockerArchive(t, map[string]v1.Image{"debian:12": one})
	packed, _ := pack(t, single, "gzip")
	require.NoError(t, os.WriteFile(dir+"/one.tar", single, 0o644))
	require.NoError(t, os.WriteFile(dir+"/one.tgz", packed, 0o644))
	require.NoError(t, os.WriteFile(dir+"/both.tar", dockerArchive(t, map[string]v1.Image{"debian:12": one, "tool:2": two}), 0o644))
	require.NoError(t, os.WriteFile(dir+"/cut.tar", single[:len(single)-3000], 0o644))
	layer := tarOf(t, file("f", ""))
	saved := func(name, manifest string, more ...entry) {
		require.NoError(t, os.WriteFile(dir+"/"+name, tarOf(t, append([]entry{file("manifest.json", manifest)}, more...)...), 0o644))
	}
	const manifest = `[{"Config":"c.json","RepoTags":["x:1"],"Layers":["l.tar"]}]`
	config := file("c.json", `{"rootfs":{"diff_ids":["`+digest(layer)+`"]}}`)
	saved("none.tar", "[]")
	saved("object.tar", "{}")
	saved("words.tar", "hello")
	saved("noconfig.tar", manifest)
	saved("nolayer.tar", manifest, config)
	saved("html.tar", manifest, file("c.json", "<html>"), file("l.tar", string(layer)))
	saved("other.tar", manifest, config, file("l.tar", string(tarOf(t, file("other", "")))))
	require.NoError(t, os.WriteFile(dir+"/cut.tgz", packed[:len(packed)/2], 0o644))
	require.NoError(t, os.WriteFile(dir+"/root.tar", tarOf(t, file("etc/x", "")), 0o644))
	want, err := one.ConfigName()
	require.NoError(t, err)
	for _, f := range []string{"one.tar", "one.tgz", "both.tar:debian:12"} {
		t.Run(f, func(t *testing.T) {
			s := newStore(t)
			src, err := ParseSource("docker-archive:" + dir + "/" + f)
			require.NoError(t, err)
			got, m := imported(t, s, src, Options{})
			assert.Equal(t, want.String(), got.ID)
			assert.Equal(t, "debian:12", got.Name)
			assert.Len(t, m.Layers, 2)
			assertClean(t, s)
		})
	}
	for f, reason := range map[string]string{
		"none.tar":       "names no image",
		"object.tar":     "manifest.json: is not in a form",
		"words.tar":      "manifest.json: is not in a form",
		"noconfig.tar":   "configuration: open c.json",
		"nolayer.tar":    `layer "l.tar": open l.tar`,
		"html.tar":       "configuration: is not in a form",
		"other.tar":      "layer 1 of 1 (" + digest(layer) + "): its tar does not have the digest",
		"cut.tgz":        "compressed stream is truncated",
		"both.tar":       "without a tag: it has 2 images",
		"both.tar:x":     `tag "x"`,
		"cut.tar":        "truncated",
		"root.tar":       "neither manifest.json nor index.json",
		"missing.tar":    "no such file",
		"one.tar:nosuch": `tag "nosuch"`,
	} {
		s := newStore(t)
		before := snapshot(t, s)
		src, err := ParseSource("docker-archive:" + dir + "/" + f)
		require.NoError(t, err)
		_, err = s.Import(t.Context(), src, Options{})
		assert.ErrorContains(t, err, reason, f)
		assert.Equal(t, before, snapshot(t, s), f)
	}
}

// TestLinkedLayers: docker save wrote equal layers as links to the first.
func TestLinkedLayers(t *testing.T) {
	t.Parallel()
	layer := tarOf(t, file("f", "x"))
	id := digest(layer)
	config, err := json.Marshal(map[string]any{"rootfs": map[string]any{"diff_ids": []string{id, id, id}}})
	require.NoError(t, err)
	manifest := `[{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar","b/layer.tar","c/layer.tar"]}]`
	path := t.TempDir() + "/saved.tar"
	require.NoError(t, os.WriteFile(path, tarOf(t, file("a/layer.tar", string(layer)), symlink("b/layer.tar", "../a/layer.tar"), hardlink("c/layer.tar", "b/layer.tar"),
		file("c.json", string(config)), file("manifest.json", manifest)), 0o644))
	s := newStore(t)
	got, m := imported(t, s, Source{Kind: Archive, Path: path}, Options{Name: "linked"})
	assert.Equal(t, 1, got.Fresh)
	assert.Equal(t, []string{jfs.LayerName(id)}, m.Layers, "an overlay takes no directory twice")

	loop := t.TempDir() + "/loop.tar"
	require.NoError(t, os.WriteFile(loop, tarOf(t, symlink("manifest.json", "manifest.json")), 0o644))
	_, err = s.Import(t.Context(), Source{Kind: Archive, Path: loop}, Options{})
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestParseSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(dir+"/a:b", 0o755))
	for text, want := range map[string]Source{
		"oci:d":                            {Layout, "d", ""},
		"oci:/d/e:t":                       {Layout, "/d/e", "t"},
		"oci:" + dir + "/a:b":              {Layout, dir + "/a:b", ""},
		"oci:" + dir + "/a:b:c":            {Layout, dir + "/a:b", "c"},
		"oci:x:y/z":                        {Layout, "x:y/z", ""},
		"docker-archive:" + dir + ":r/i:t": {Archive, dir, "r/i:t"},
		"tar:x":                            {Kind: Tar, Path: "x"},
		"./x":                              {Kind: Tar, Path: "./x"},
		"x.tar.zst":                        {Kind: Tar, Path: "x.tar.zst"},
	} {
		got, err := ParseSource(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "debian", "oci:", "docker:debian"} {
		_, err := ParseSource(text)
		assert.Error(t, err, text)
	}
}
