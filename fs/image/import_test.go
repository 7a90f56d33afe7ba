package image

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/tests/lane"
)

// imported imports and returns what a launch sees of the image.
func imported(t testing.TB, s *Store, src Source, o Options) (*Imported, *jfs.Image) {
	t.Helper()
	got, err := s.Import(t.Context(), src, o)
	require.NoError(t, err)
	return got, opened(t, s, got.ID)
}

func opened(t testing.TB, s *Store, id string) *jfs.Image {
	t.Helper()
	m, fd, err := s.OpenImage(id)
	require.NoError(t, err)
	require.NoError(t, unix.Close(fd))
	require.NoError(t, s.CheckLayers(m))
	return m
}

func TestImportLayout(t *testing.T) {
	t.Parallel()
	base := tarOf(t, directory("."), directory("bin"), file("bin/sh", "#!"), file("etc/passwd", "root:x:0:0::/:\nweb:x:33:34::/:\n"))
	top := tarOf(t, file("app", "1"))
	for _, packing := range []string{"", "gzip", "zstd"} {
		t.Run("packing "+packing, func(t *testing.T) {
			t.Parallel()
			l := newLayout(t)
			l.config = map[string]any{
				"Env": []string{"PATH=/app:/bin", "A=\"b\nc\"", "broken"}, "WorkingDir": "srv/../app", "User": "web",
				"Entrypoint": []string{"/bin/sh", "-c"}, "Cmd": []string{"echo $A"},
			}
			l.add("one", packing, base, top)
			l.config = nil
			l.add("two", packing, base)
			s := newStore(t)

			got, m := imported(t, s, l.source("one"), Options{})
			assert.Equal(t, 2, got.Fresh)
			assert.True(t, strings.HasSuffix(got.Name, ":one"), got.Name)
			assert.Equal(t, &jfs.Image{
				ID: got.ID, Layers: []string{jfs.LayerName(digest(base)), jfs.LayerName(digest(top))},
				Env: []string{"PATH=/app:/bin", "A=\"b\nc\""}, Workdir: "/app", User: "33:34",
				Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"echo $A"},
				Users: jfs.Users{Passwd: "root:x:0:0::/:\nweb:x:33:34::/:\n"},
			}, m)
			assert.Equal(t, map[string]string{"app": "0644 1"}, look(t, s.Layers()+"/"+m.Layers[1]))

			got, m = imported(t, s, l.source("two"), Options{Name: "small"})
			assert.Equal(t, 0, got.Fresh, "the layer is shared")
			assert.Len(t, m.Layers, 1)
			id, err := s.Named("small")
			require.NoError(t, err)
			assert.Equal(t, got.ID, id)
		})
	}
}

// TestUnpack: what a layer can hold, and what becomes of it.
func TestUnpack(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long/", 40) + strings.Repeat("n", 200)
	pax := func(name string, records map[string]string) entry {
		return entry{Header: tar.Header{Name: name, PAXRecords: records, Format: tar.FormatPAX}, content: "x"}
	}
	for name, tt := range map[string]struct {
		entries []entry
		want    map[string]string
	}{
		"files, links and modes": {
			[]entry{
				directory("d"), file("./d/f", "f"), symlink("d/l", "/etc/passwd"), hardlink("d/h", "d/f"), hardlink("hl", "./d/l"),
				{Header: tar.Header{Name: "su", Mode: 0o6755}},
				{Header: tar.Header{Name: "sticky/", Mode: 0o3777}},
				{Header: tar.Header{Name: "locked/", Mode: 0o500}},
				file("locked/x", "x"),
				{Header: tar.Header{Name: "p", Typeflag: tar.TypeFifo}},
			},
			map[string]string{
				"d": "directory 0755", "d/f": "0644 f", "d/l": "-> /etc/passwd", "d/h": "0644 f", "hl": "-> /etc/passwd",
				"su": "0755 ", "sticky": "directory 1777", "locked": "directory 0500", "locked/x": "0644 x", "p": "fifo 0644",
			},
		},
		"names": {
			[]entry{file("a\nb", "1"), file("c d\x1b[0m", "2"), file("-e", "3"), file("f:g,h\\i", "4"), file("ä/ö", "5")},
			map[string]string{"a\nb": "0644 1", "c d\x1b[0m": "0644 2", "-e": "0644 3", "f:g,h\\i": "0644 4", "ä": "directory 0755", "ä/ö": "0644 5"},
		},
		"the last of a name": {
			[]entry{
				file("a", "1"), file("a", "2"), symlink("l", "a"), file("l", "3"), file("d", "x"), directory("d"), file("d/f", "f"),
				directory("e"), file("e", "y"), directory("d"), hardlink("a", "l"),
			},
			map[string]string{"a": "0644 3", "l": "0644 3", "d": "directory 0755", "d/f": "0644 f", "e": "0644 y"},
		},
		"whiteouts": {
			[]entry{
				file(".wh.gone", ""), file("d/.wh.gone", ""), file("new", "n"), file(".wh.new", ""),
				file("e/f", "f"), file(".wh.e", ""), file(".wh.g", ""), file("g/f", "f"), file(".wh.i", ""), directory("i"),
				file("o/.wh.x", ""), file("o/.wh..wh..opq", ""), file("o/f", "f"), file("o/p/.wh.y", ""), file(".wh..wh.plnk", ""),
			},
			map[string]string{
				"gone": "whiteout", "d": "directory 0755", "d/gone": "whiteout", "new": "0644 n",
				"e": "opaque directory 0755", "e/f": "0644 f", "g": "opaque directory 0755", "g/f": "0644 f", "i": "opaque directory 0755",
				"o": "opaque directory 0755", "o/f": "0644 f", "o/p": "directory 0755",
			},
		},
		"attributes": {
			[]entry{pax("f", map[string]string{
				"SCHILY.xattr.user.note": "kept", "SCHILY.xattr.user.overlay.opaque": "y",
				"SCHILY.xattr.security.capability": "\x01", "SCHILY.xattr.trusted.overlay.redirect": "/",
			})},
			map[string]string{"f": "0644 x"},
		},
		"devices": {
			[]entry{{Header: tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, {Header: tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock, Devmajor: 8}}, file("dev/x", "x")},
			map[string]string{"dev": "directory 0755", "dev/x": "0644 x"},
		},
		"nothing": {nil, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLayout(t)
			l.add("", "gzip", tarOf(t, file("lowest", "")), tarOf(t, tt.entries...)) // not the lowest, which keeps no whiteouts
			s := newStore(t)
			got, m := imported(t, s, l.source(""), Options{})
			dir := s.Layers() + "/" + m.Layers[1]
			assert.Equal(t, tt.want, look(t, dir))
			switch name {
			case "devices":
				assert.Equal(t, []string{"device dev/null (1:3)", "device dev/sda (8:0)"}, got.LeftOut)
			case "attributes":
				var b [16]byte
				n, err := unix.Getxattr(dir+"/f", "user.note", b[:])
				require.NoError(t, err)
				assert.Equal(t, "kept", string(b[:n]))
				n, err = unix.Listxattr(dir+"/f", b[:])
				require.NoError(t, err)
				assert.Equal(t, "user.note\x00", string(b[:n]))
			case "files, links and modes":
				a, err := os.Stat(dir + "/d/f")
				require.NoError(t, err)
				b, err := os.Stat(dir + "/d/h")
				require.NoError(t, err)
				assert.True(t, os.SameFile(a, b))
				assert.Equal(t, aTime, a.ModTime().UTC())
				st, err := os.Stat(dir + "/locked")
				require.NoError(t, err)
				assert.Equal(t, aTime, st.ModTime().UTC())
			}
		})
	}
	t.Run("long names", func(t *testing.T) {
		t.Parallel()
		l := newLayout(t)
		l.add("", "", tarOf(t, file(long, "long")))
		s := newStore(t)
		_, m := imported(t, s, l.source(""), Options{})
		b, err := os.ReadFile(s.Layers() + "/" + m.Layers[0] + "/" + long)
		require.NoError(t, err)
		assert.Equal(t, "long", string(b))
	})
}

// TestHoles: blocks of zeros take no room, whatever the tar says, and nothing
// of the content is lost at their edges.
func TestHoles(t *testing.T) {
	t.Parallel()
	hole := strings.Repeat("\x00", 1<<20)
	for name, content := range map[string]string{
		"all": hole, "first": hole + "x", "last": "x" + hole, "odd": "abc" + hole[:5000] + "d" + hole + "e" + hole[:4095], "short": hole[:10],
	} {
		l := newLayout(t)
		l.add("", "gzip", tarOf(t, file("f", content)))
		s := newStore(t)
		_, m := imported(t, s, l.source(""), Options{})
		path := s.Layers() + "/" + m.Layers[0] + "/f"
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, bytes.Equal([]byte(content), b), name)
		var st unix.Stat_t
		require.NoError(t, unix.Stat(path, &st))
		assert.Less(t, st.Blocks*512, int64(64<<10), name)
	}
}

// TestImageIDs: what the files cannot show stands beside the layer.
func TestImageIDs(t *testing.T) {
	t.Parallel()
	l := newLayout(t)
	l.add("", "", tarOf(t, entry{Header: tar.Header{Name: "su", Uid: 5, Gid: 6, Mode: 0o4755}}, file("plain", ""),
		entry{Header: tar.Header{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}}))
	s := newStore(t)
	_, m := imported(t, s, l.source(""), Options{})
	b, err := os.ReadFile(s.Dir + "/meta/" + m.Layers[0] + ".ids")
	require.NoError(t, err)
	assert.Equal(t, "own 5 6 4755 \"su\"\ndevice 3 1 3 0 0 0666 \"dev\"\n", string(b))
}

// TestFlat: where layers cannot be kept apart the image is what the overlay
// would show.
func TestFlat(t *testing.T) {
	t.Parallel()
	l := newLayout(t)
	l.add("", "gzip",
		tarOf(t, file("keep", "0"), file("gone", "0"), file("o/low", "0"), file("dir/low", "0"), file("dir/sub/low", "0"), symlink("lib", "usr/lib"), file("was", "file"), file("wasdir/x", "0"), file("r/low", "0"),
			entry{Header: tar.Header{Name: "locked/", Mode: 0o500}}, file("locked/x", "0")),
		tarOf(t, file(".wh.gone", ""), file("o/new", "1"), file("o/.wh..wh..opq", ""), file("dir/new", "1"), file("dir/sub/.wh.low", ""), directory("lib"), file("lib/so", "1"), file("was/now", "1"), file("wasdir", "1"), file("keep", "1"),
			file(".wh.r", ""), file("r/new", "1"), file(".wh.never", ""), file("locked/y", "1")),
		tarOf(t, file("o/newer", "2"), hardlink("h", "o/newer"), file("deep/er/f", "2"), file("deep/.wh..wh..opq", "")),
	)
	s := newStore(t)
	s.flat = true
	got, m := imported(t, s, l.source(""), Options{Name: "x"})
	assert.True(t, got.Flat)
	require.Len(t, m.Layers, 1)
	assert.Equal(t, map[string]string{
		"keep": "0644 1", "o": "directory 0755", "o/new": "0644 1", "o/newer": "0644 2", "h": "0644 2",
		"dir": "directory 0755", "dir/low": "0644 0", "dir/new": "0644 1", "dir/sub": "directory 0755",
		"lib": "directory 0755", "lib/so": "0644 1", "was": "directory 0755", "was/now": "0644 1", "wasdir": "0644 1",
		"r": "directory 0755", "r/new": "0644 1", "deep": "directory 0755", "deep/er": "directory 0755", "deep/er/f": "0644 2",
		"locked": "directory 0500", "locked/x": "0644 0", "locked/y": "0644 1",
	}, look(t, s.Layers()+"/"+m.Layers[0]))
}

// TestConcurrentImports: of many imports of one image, and of another that
// shares a layer, each succeeds and each layer is there once.
func TestConcurrentImports(t *testing.T) {
	t.Parallel()
	shared := tarOf(t, file("shared", strings.Repeat("s", 1<<20)))
	l := newLayout(t)
	l.add("one", "gzip", shared, tarOf(t, file("one", "1")))
	l.add("two", "gzip", shared, tarOf(t, file("two", "2")))
	state := lane.Scratch(t)
	var wg sync.WaitGroup
	fresh := make([]int, 16)
	for i := range fresh {
		wg.Go(func() {
			s, err := Open(state, Limits{})
			if !assert.NoError(t, err) {
				return
			}
			got, err := s.Import(t.Context(), l.source([]string{"one", "two"}[i%2]), Options{})
			if assert.NoError(t, err) {
				fresh[i] = got.Fresh
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range fresh {
		sum += n
	}
	assert.Equal(t, 3, sum)
	s, err := Open(state, Limits{})
	require.NoError(t, err)
	assertClean(t, s)
}

// assertClean: nothing is left of what imports made on their way.
func assertClean(t testing.TB, s *Store) {
	t.Helper()
	left, err := os.ReadDir(s.Dir + "/tmp")
	require.NoError(t, err)
	assert.Empty(t, left)
}

// TestPlainTar: by path, plain or compressed; known again as long as the file
// does not change.
func TestPlainTar(t *testing.T) {
	t.Parallel()
	plain := tarOf(t, file("./bin/sh", "#!"))
	s := newStore(t)
	dir := t.TempDir()
	var first string
	for _, packing := range []string{"", "gzip", "zstd"} {
		packed, _ := pack(t, plain, packing)
		name := dir + "/root" + packing + ".tar"
		require.NoError(t, os.WriteFile(name, packed, 0o644))
		src, err := ParseSource(name)
		require.NoError(t, err)
		got, m := imported(t, s, src, Options{})
		assert.Equal(t, "root"+packing, got.Name)
		assert.Equal(t, []string{jfs.LayerName(digest(plain))}, m.Layers)
		if first == "" {
			first = got.ID
		}
		assert.Equal(t, first, got.ID)
	}
	assertClean(t, s)
}

// TestSparse: the two forms in which tar(1) writes holes.
func TestSparse(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("tar is not installed")
	}
	dir := t.TempDir()
	f, err := os.Create(dir + "/f")
	require.NoError(t, err)
	for at, text := range map[int64]string{5 << 20: "middle", 20 << 20: "end"} {
		_, err = f.WriteAt([]byte(text), at)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	want, err := os.ReadFile(dir + "/f")
	require.NoError(t, err)
	for _, form := range []string{"gnu", "pax"} {
		name := dir + "/" + form + ".tar"
		out, err := exec.Command("tar", "-S", "--format="+form, "-C", dir, "-cf", name, "f").CombinedOutput()
		require.NoError(t, err, string(out))
		st, err := os.Stat(name)
		require.NoError(t, err)
		require.Less(t, st.Size(), int64(1<<20), "the control: the tar itself is sparse")
		s := newStore(t)
		got, m := imported(t, s, Source{Kind: Tar, Path: name}, Options{})
		assert.EqualValues(t, len(want), got.Bytes)
		path := s.Layers() + "/" + m.Layers[0] + "/f"
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, b), form)
		var x unix.Stat_t
		require.NoError(t, unix.Stat(path, &x))
		assert.Less(t, x.Blocks*512, int64(1<<20), form)
	}
}
