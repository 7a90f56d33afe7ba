package image

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/idmap"
)

// FuzzSourceLine: a name may hold anything that a file name may; the line that
// keeps it says it again, and the launch path, which compares instead of
// parsing, finds it by the same tag.
func FuzzSourceLine(f *testing.F) {
	f.Add("sha256:00", "latest", "/a/index.json", "sha256:00 \"latest\" \"/a/index.json\"\n")
	f.Add("", "", "", "")
	f.Add("x", "a b", "/\n\"\xff", "x \"a\"  \"b\"\n")
	f.Add("x", "\\", "`", "x `a` 'b'")
	f.Fuzz(func(t *testing.T, id, tag, file, line string) {
		if gotID, gotTag, gotFile, ok := parseSource(line); ok {
			again := sourceLine(gotID, gotTag, gotFile)
			id2, tag2, file2, ok := parseSource(again)
			require.True(t, ok)
			require.Equal(t, []string{gotID, gotTag, gotFile}, []string{id2, tag2, file2})
		}
		if strings.ContainsAny(id, " \n") {
			return // no digest
		}
		gotID, gotTag, gotFile, ok := parseSource(sourceLine(id, tag, file))
		require.True(t, ok)
		require.Equal(t, []string{id, tag, file}, []string{gotID, gotTag, gotFile})
		require.Equal(t, 1, strings.Count(sourceLine(id, tag, file), "\n"))
	})
}

// FuzzParseSource: what --rootfs takes is said again by String.
func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"oci:a", "oci:a:b", "docker-archive:/x.tar", "docker-archive:x:y/z", "tar:x", "./x", "x.tar.gz", "x", "oci:", ":", "oci::", "\x00/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		src, err := ParseSource(s)
		if err != nil {
			return
		}
		if src.Kind != Tar {
			require.NotEmpty(t, src.Path)
			again, err := ParseSource(src.String())
			require.NoError(t, err)
			require.Equal(t, src, again)
		}
	})
}

// FuzzLayerMeta: what the store keeps of a layer is read as it was written, or
// not at all.
func FuzzLayerMeta(f *testing.F) {
	f.Add(string((&layerMeta{diffID: "sha256:0", bytes: 1, entries: 2, skipped: 3, hides: 4, leftOut: []string{"a\nb"}}).encode()))
	f.Add("jailrun-layer 1\n")
	f.Add("jailrun-layer 2\nbytes -1\nleft-out x\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := decodeLayerMeta(text)
		if err != nil {
			return
		}
		again, err := decodeLayerMeta(string(m.encode()))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

// FuzzUserOf: an image's user becomes numbers or stays the words of the image.
func FuzzUserOf(f *testing.F) {
	f.Add("app", "root:x:0:0::/:/bin/sh\napp:x:7:8::/:/bin/sh\n", "g:x:9:\n")
	f.Add("app:g", "app:x:7:8\n", "g:x:9\n")
	f.Add("7:8", "", "")
	f.Add(":", ":::\n", ":::")
	f.Add("a", "a:x:-1:99999999999\n", "")
	f.Fuzz(func(t *testing.T, user, passwd, groups string) {
		got := userOf(user, passwd, groups)
		if got != user {
			_, err := idmap.ParseUser(got)
			require.NoError(t, err)
		}
	})
}

// FuzzArchive: what a stranger calls an image is one, or an error; its layers lie
// in the file.
func FuzzArchive(f *testing.F) {
	const manifest = `[{"Config":"c.json","RepoTags":["a:b"],"Layers":["l/layer.tar"]}]`
	for _, text := range []string{manifest, "[]", "null", `[{"Config":"../../etc/passwd","Layers":[".."]}]`, `[{}]`, "{"} {
		f.Add(tarOf(f, file("manifest.json", text), file("c.json", "{}"), file("l/layer.tar", "x")), "")
		f.Add(tarOf(f, file("manifest.json", text), symlink("c.json", "c.json"), hardlink("l/layer.tar", "manifest.json")), "a:b")
	}
	f.Add(tarOf(f, file("index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:00","size":1}]}`)), "")
	f.Fuzz(func(t *testing.T, b []byte, tag string) {
		name := t.TempDir() + "/a.tar"
		require.NoError(t, os.WriteFile(name, b, 0o600))
		in, err := os.Open(name)
		require.NoError(t, err)
		defer in.Close()
		got, err := (&archive{f: in, members: map[string]member{}}).read(tag)
		if err != nil {
			require.Nil(t, got)
			return
		}
		for _, l := range got.layers {
			require.LessOrEqual(t, l.size, int64(len(b)))
			r, err := l.open(t.Context())
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			require.NoError(t, err)
			require.NoError(t, r.Close())
		}
	})
}
