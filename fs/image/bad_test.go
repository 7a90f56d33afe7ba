package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// snapshot lists all files of a store but the lock, with their contents.
func snapshot(t testing.TB, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.Type().IsRegular() && d.Name() != "lock" {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			all[path] = string(b)
		} else if d.Name() != "lock" {
			all[path] = d.Type().String()
		}
		return nil
	}))
	return all
}

// TestBadEntries: a hostile or broken entry is refused by its name, with the
// image and the layer, and the store is as it was, whatever came before it.
func TestBadEntries(t *testing.T) {
	t.Parallel()
	many := make([]entry, 120)
	for i := range many {
		many[i] = file("many", "")
	}
	for name, tt := range map[string]struct {
		entries []entry
		entry   string
		reason  string
		is      error
	}{
		"dot dot":                {[]entry{file("a/../../etc/passwd", "x")}, "a/../../etc/passwd", "has .. in it", ErrEntry},
		"dot dot at the end":     {[]entry{directory("a/..")}, "a/../", "has .. in it", ErrEntry},
		"absolute":               {[]entry{file("/etc/passwd", "x")}, "/etc/passwd", "is absolute", ErrEntry},
		"link, then file":        {[]entry{symlink("d", "/tmp"), file("d/f", "x")}, "d/f", `"d", which it lies in, is no directory but a file or link`, ErrEntry},
		"link to here, then":     {[]entry{directory("real"), symlink("d", "real"), file("d/f", "x")}, "d/f", "is no directory", ErrEntry},
		"file, then below it":    {[]entry{file("f", ""), file("f/x", "x")}, "f/x", "is no directory", ErrEntry},
		"link, then hard link":   {[]entry{symlink("d", "/etc"), hardlink("h", "d/passwd")}, "h", `is a hard link to "d/passwd"`, ErrEntry},
		"link, then whiteout":    {[]entry{symlink("d", "/etc"), file("d/.wh.passwd", "")}, "d/.wh.passwd", "is no directory", ErrEntry},
		"link, then opaque":      {[]entry{symlink("d", "/etc"), file("d/.wh..wh..opq", "")}, "d/.wh..wh..opq", "is no directory", ErrEntry},
		"hard link to nothing":   {[]entry{hardlink("h", "nowhere")}, "h", `"nowhere", which is no earlier entry`, ErrEntry},
		"hard link to a lower":   {[]entry{hardlink("h", "good")}, "h", `"good", which is no earlier entry`, ErrEntry},
		"hard link outside":      {[]entry{hardlink("h", "../../../etc/passwd")}, "h", "has .. in it", ErrEntry},
		"absolute hard link":     {[]entry{hardlink("h", "/etc/passwd")}, "h", "is absolute", ErrEntry},
		"hard link to directory": {[]entry{directory("d"), hardlink("h", "d")}, "h", "is no file", ErrEntry},
		"hard link to whiteout":  {[]entry{file(".wh.w", ""), hardlink("h", "w")}, "h", "is no earlier entry", ErrEntry},
		"hard link to itself":    {[]entry{file("h", ""), hardlink("h", "./h")}, "h", "itself", ErrEntry},
		"full directory's place": {[]entry{file("d/f", ""), file("d", "")}, "d", "not empty", ErrEntry},
		"the layer itself":       {[]entry{symlink(".", "/")}, ".", "is the layer itself", ErrEntry},
		"whiteout of dot dot":    {[]entry{file("d/.wh...", "")}, "d/.wh...", "deletes nothing", ErrEntry},
		"bare whiteout":          {[]entry{file(".wh.", "")}, ".wh.", "deletes nothing", ErrEntry},
		"below a whiteout":       {[]entry{file(".wh.d/f", "")}, ".wh.d/f", "lies in a whiteout", ErrEntry},
		"long part":              {[]entry{file(strings.Repeat("n", 256), "")}, strings.Repeat("n", 256), "longer than 255", ErrEntry},
		"long name":              {[]entry{file(strings.Repeat("n/", 2100)+"x", "")}, strings.Repeat("n/", 2100) + "x", "longer than 4095", ErrEntry},
		"deep":                   {[]entry{file(strings.Repeat("n/", 251)+"x", "")}, strings.Repeat("n/", 251) + "x", "deeper than", ErrEntry},
		"unknown type":           {[]entry{{Header: tar.Header{Name: "x", Typeflag: 'Z'}}}, "x", "unknown type", ErrEntry},
		"too many entries":       {many, "many", "more than 100 entries", ErrTooLarge},
		"too many bytes":         {[]entry{file("a", strings.Repeat("a", 900<<10)), file("b", strings.Repeat("b", 200<<10))}, "b", "more than 1048576 bytes in all", ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLayout(t)
			good := tarOf(t, file("good", "g"))
			l.add("good", "gzip", good)
			l.add("bad", "gzip", good, tarOf(t, append([]entry{file("before", "b")}, tt.entries...)...))
			for _, flat := range []bool{false, true} {
				s, err := Open(t.TempDir(), Limits{Entries: 100, Bytes: 1 << 20})
				require.NoError(t, err)
				s.flat = flat
				_, err = s.Import(t.Context(), l.source("good"), Options{Name: "good"})
				require.NoError(t, err)
				before := snapshot(t, s)

				_, err = s.Import(t.Context(), l.source("bad"), Options{Name: "good"})
				var e *Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, [4]any{l.source("bad").String(), 2, 2, tt.entry}, [4]any{e.Image, e.Index, e.Of, e.Entry})
				assert.Contains(t, e.Error(), tt.reason)
				assert.ErrorIs(t, err, tt.is)
				assert.Equal(t, before, snapshot(t, s))
			}
		})
	}
}

// TestBombs: what a few bytes unpack to is bounded, be it in files or behind
// them.
func TestBombs(t *testing.T) {
	t.Parallel()
	zeros := bytes.Repeat([]byte{0}, 8<<20)
	for name, plain := range map[string][]byte{
		"in a file":      tarOf(t, file("bomb", string(zeros))),
		"behind the end": append(tarOf(t, file("f", "x")), zeros...),
	} {
		for _, packing := range []string{"gzip", "zstd"} {
			l := newLayout(t)
			l.add("", packing, plain)
			s, err := Open(t.TempDir(), Limits{Bytes: 1 << 20})
			require.NoError(t, err)
			before := snapshot(t, s)
			_, err = s.Import(t.Context(), l.source(""), Options{})
			assert.ErrorIs(t, err, ErrTooLarge, name)
			assert.Equal(t, before, snapshot(t, s), name)
		}
	}
}

// TestDamage: files that are not what they should be.
func TestDamage(t *testing.T) {
	t.Parallel()
	layer := tarOf(t, file("f", strings.Repeat("some content ", 10_000)))
	packed, _ := pack(t, layer, "gzip")
	name := digest(packed)
	rewrite := func(b []byte) func(l *aLayout) {
		return func(l *aLayout) { require.NoError(l.t, os.WriteFile(l.blobPath(name), b, 0o644)) }
	}
	flipped := bytes.Clone(packed)
	flipped[len(flipped)/2] ^= 0x40
	repacked := append(bytes.Clone(packed[:9]), 7) // another operating system in the gzip header: the tar is the same
	repacked = append(repacked, packed[10:]...)
	otherTar, _ := pack(t, tarOf(t, file("f", "other")), "gzip")
	for what, tt := range map[string]struct {
		damage func(l *aLayout)
		is     error
		reason string
	}{
		"missing layer":        {func(l *aLayout) { require.NoError(t, os.Remove(l.blobPath(name))) }, fs.ErrNotExist, name[7:]},
		"truncated":            {rewrite(packed[:len(packed)/2]), ErrFormat, "truncated"},
		"truncated header":     {rewrite(packed[:5]), ErrFormat, "truncated"},
		"empty":                {rewrite(nil), ErrDigest, ""},
		"flipped bit":          {rewrite(flipped), nil, ""},
		"same tar, other file": {rewrite(repacked), ErrDigest, "its file does not have the digest"},
		"other tar":            {rewrite(otherTar), ErrDigest, "does not have the digest"},
		"not a tar":            {rewrite(bytes.Repeat([]byte("x"), 2048)), ErrFormat, "damaged"},
		"xz":                   {rewrite([]byte("\xfd7zXZ\x00......")), ErrFormat, "gzip, zstd and none are known"},
		"trailing garbage":     {rewrite(append(bytes.Clone(packed), "garbage"...)), ErrFormat, "compressed stream"},
		"a FIFO": {func(l *aLayout) {
			require.NoError(t, os.Remove(l.blobPath(name)))
			require.NoError(t, mkfifo(l.blobPath(name)))
		}, nil, "is no regular file"},
		"a link out": {func(l *aLayout) {
			require.NoError(t, os.Remove(l.blobPath(name)))
			require.NoError(t, os.Symlink("/etc/passwd", l.blobPath(name)))
		}, nil, "escapes"},
		"no index":     {func(l *aLayout) { require.NoError(t, os.Remove(l.dir+"/index.json")) }, ErrFormat, "index.json"},
		"broken index": {func(l *aLayout) { require.NoError(t, os.WriteFile(l.dir+"/index.json", []byte("{"), 0o644)) }, ErrFormat, "index.json"},
		"huge index": {func(l *aLayout) {
			require.NoError(t, os.WriteFile(l.dir+"/index.json", make([]byte, maxDocument+1), 0o644))
		}, ErrTooLarge, "index.json"},
		"no manifest": {func(l *aLayout) { l.remove(l.index[0]["digest"].(string)) }, fs.ErrNotExist, "manifest"},
		"wrong manifest": {func(l *aLayout) {
			require.NoError(t, os.WriteFile(l.blobPath(l.index[0]["digest"].(string)), []byte("{}"), 0o644))
		}, ErrDigest, "manifest"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newLayout(t)
			l.t = t
			l.add("", "gzip", layer)
			tt.damage(l)
			s := newStore(t)
			before := snapshot(t, s)
			_, err := s.Import(t.Context(), l.source(""), Options{})
			require.Error(t, err)
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, l.source("").String(), e.Image)
			assert.Contains(t, err.Error(), tt.reason)
			if tt.is != nil {
				assert.ErrorIs(t, err, tt.is)
			}
			assert.Equal(t, before, snapshot(t, s))
		})
	}
}

func (l *aLayout) remove(d string) { require.NoError(l.t, os.Remove(l.blobPath(d))) }

// TestBadManifests: documents that say what cannot be.
func TestBadManifests(t *testing.T) {
	t.Parallel()
	config := func(l *aLayout, c string) string {
		d := l.blob([]byte(c))
		return `{"schemaVersion":2,"config":{"digest":"` + d + `","mediaType":"application/vnd.oci.image.config.v1+json","size":1},"layers":[`
	}
	layer := tarOf(t, file("f", ""))
	for what, tt := range map[string]struct {
		manifest func(l *aLayout) string
		reason   string
	}{
		"no layers": {func(l *aLayout) string { return config(l, `{"rootfs":{"type":"layers","diff_ids":[]}}`) + `]}` }, "has no layers"},
		"other count": {func(l *aLayout) string {
			return config(l, `{"rootfs":{"type":"layers","diff_ids":[]}}`) + l.descriptor(layer) + `]}`
		}, "speaks of 0 layers, and there are 1"},
		"other digest": {func(l *aLayout) string {
			return config(l, `{"rootfs":{"diff_ids":["md5:00"]}}`) + l.descriptor(layer) + `]}`
		}, ""},
		"not JSON":        {func(*aLayout) string { return `{"layers":` }, "manifest sha256:"},
		"config not JSON": {func(l *aLayout) string { return config(l, "<html>") + l.descriptor(layer) + `]}` }, "configuration: is not in a form"},
		"config an array": {func(l *aLayout) string { return config(l, "[]") + l.descriptor(layer) + `]}` }, "configuration: is not in a form"},
		"config with a string for a list": {func(l *aLayout) string {
			return config(l, `{"config":{"Env":"A=b"},"rootfs":{"diff_ids":["`+digest(layer)+`"]}}`) + l.descriptor(layer) + `]}`
		}, "Env"},
		"no config": {func(l *aLayout) string { return `{"schemaVersion":2,"layers":[` + l.descriptor(layer) + `]}` }, "no SHA-256 digest"},
		"schema 1":  {func(*aLayout) string { return `{"schemaVersion":1,"fsLayers":[]}` }, "no SHA-256 digest"},
		"SHA-512": {func(l *aLayout) string {
			return config(l, `{"rootfs":{"diff_ids":["`+digest(layer)+`"]}}`) + strings.Replace(l.descriptor(layer), digest(layer), "sha512:"+strings.Repeat("0", 128), 1) + `]}`
		}, "no SHA-256 digest"},
		"climbing digest": {func(l *aLayout) string { return `{"config":{"digest":"sha256:../../etc/passwd"}}` }, "manifest sha256:"},
		"other machine": {func(l *aLayout) string {
			return config(l, `{"os":"linux","architecture":"vax","rootfs":{"diff_ids":["`+digest(layer)+`"]}}`) + l.descriptor(layer) + `]}`
		}, "the image is for linux/vax, and this machine is linux/" + runtime.GOARCH},
		"other system": {func(l *aLayout) string {
			return config(l, `{"os":"windows","architecture":"`+runtime.GOARCH+`","rootfs":{"diff_ids":["`+digest(layer)+`"]}}`) + l.descriptor(layer) + `]}`
		}, "the image is for windows/"},
		"not a layer": {func(l *aLayout) string {
			return config(l, `{"rootfs":{"diff_ids":["`+digest(layer)+`"]}}`) + strings.Replace(l.descriptor(layer), "image.layer.v1.tar", "artifact", 1) + `]}`
		}, "media type"},
		"too many layers": {func(l *aLayout) string {
			ids := strings.Repeat(`"`+digest(layer)+`",`, 128)
			return config(l, `{"rootfs":{"diff_ids":[`+ids[:len(ids)-1]+`]}}`) + strings.TrimSuffix(strings.Repeat(l.descriptor(layer)+",", 128), ",") + `]}`
		}, "128 layers of 127"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newLayout(t)
			l.addManifest("", []byte(tt.manifest(l)))
			s := newStore(t)
			before := snapshot(t, s)
			_, err := s.Import(t.Context(), l.source(""), Options{})
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Contains(t, err.Error(), tt.reason)
			assert.Equal(t, before, snapshot(t, s))
		})
	}
}

func (l *aLayout) descriptor(layer []byte) string {
	b, err := json.Marshal(map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": l.blob(layer), "size": len(layer)})
	require.NoError(l.t, err)
	return string(b)
}

// TestErrorText: image, layer and entry, escaped.
func TestErrorText(t *testing.T) {
	t.Parallel()
	e := &Error{Image: "oci:d", Layer: "sha256:1", Index: 2, Of: 3, Entry: "a\n\x1b[2J", Err: errors.New("refused")}
	assert.Equal(t, `oci:d: layer 2 of 3 (sha256:1): "a\n\x1b[2J": refused`, e.Error())
}
