package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// FuzzUnpack: whatever a tar says, nothing but the tree is touched, and the
// tree can be removed.
func FuzzUnpack(f *testing.F) {
	for _, entries := range [][]entry{
		{file("a/b", "c"), symlink("l", "a"), hardlink("h", "a/b"), directory("a")},
		{file(".wh.x", ""), file("x/y", ""), file("x/.wh..wh..opq", "")},
		{symlink("d", "/tmp"), file("d/f", "x")},
		{file("../x", "")},
		{file("/x", "")},
		{entry{Header: header("p/", 0o7777)}, entry{Header: tar.Header{Name: "n", Typeflag: tar.TypeFifo}}},
	} {
		b := tarOf(f, entries...)
		f.Add(b, false)
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, flat bool) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(dir+"/canary", []byte("alive"), 0o600))
		require.NoError(t, os.Mkdir(dir+"/tree", 0o700))
		root, err := os.Open(dir + "/tree")
		require.NoError(t, err)
		defer root.Close()
		u := &unpacker{tree: newTree(int(root.Fd()), flat), budget: newBudget(Limits{Bytes: 1 << 20, Entries: 200}), ids: bufio.NewWriter(io.Discard)}
		defer u.tree.close()
		if u.unpack(t.Context(), bytes.NewReader(b)) == nil {
			if flat {
				u.tree.nextLayer()
				_ = u.unpack(t.Context(), bytes.NewReader(b))
			}
			if err := u.tree.finish(); !errors.Is(err, unix.ENOTSUP) { // a tmpfs before Linux 6.6
				require.NoError(t, err)
			}
		}
		names, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, names, 2)
		canary, err := os.ReadFile(dir + "/canary")
		require.NoError(t, err)
		require.Equal(t, "alive", string(canary))
		require.NoError(t, removeIn(int(root.Fd())))
	})
}

// FuzzEntryName: a name that is taken stays below the layer.
func FuzzEntryName(f *testing.F) {
	for _, s := range []string{"a", "./a//b/", "..", "a/../b", "/", "", ".", "a\x00", strings.Repeat("a/", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := entryName(s)
		if err != nil {
			return
		}
		require.NotEmpty(t, name)
		require.NotEqual(t, byte('/'), name[0])
		for part := range strings.SplitSeq(name, "/") {
			require.NotEqual(t, "..", part)
			require.NotEmpty(t, part)
			if part == "." {
				require.Equal(t, ".", name)
			}
		}
		again, err := entryName(name)
		require.NoError(t, err)
		require.Equal(t, name, again)
	})
}

func header(name string, mode int64) tar.Header {
	h := tar.Header{Name: name, Mode: mode}
	if mode == 0 {
		h.Mode = 0o10000 // tarOf takes 0 for its default; the permissions are none
	}
	return h
}
