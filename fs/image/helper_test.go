package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(childVariable); how != "" {
		os.Exit(importAsChild(how))
	}
	for _, a := range os.Args {
		if strings.HasPrefix(a, "-test.fuzz=") {
			os.Exit(m.Run()) // the corpus may lie in root's cache
		}
	}
	rootless.Main(m)
}

var aTime = time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)

// tarOf writes a tar. Of a header only what differs from a plain file of mode
// 644 need be set.
func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(h.Name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if h.ModTime.IsZero() {
			h.ModTime = aTime
		}
		h.Size = int64(len(e.content))
		require.NoError(t, w.WriteHeader(&h))
		_, err := w.Write([]byte(e.content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{Header: tar.Header{Name: name}, content: content}
}
func directory(name string) entry { return entry{Header: tar.Header{Name: name + "/"}} }
func symlink(name, to string) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}}
}

func hardlink(name, to string) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}}
}

// aLayout writes layers as OCI layouts do.
type aLayout struct {
	t      testing.TB
	dir    string
	index  []map[string]any
	config map[string]any // "config" of the next image
}

func newLayout(t testing.TB) *aLayout {
	l := &aLayout{t: t, dir: t.TempDir()}
	require.NoError(t, os.MkdirAll(l.dir+"/blobs/sha256", 0o755))
	return l
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func (l *aLayout) blob(b []byte) string {
	d := digest(b)
	require.NoError(l.t, os.WriteFile(l.blobPath(d), b, 0o644))
	return d
}

func (l *aLayout) blobPath(d string) string { return l.dir + "/blobs/sha256/" + d[7:] }

// add adds an image of tars, packed each as asked: "gzip", "zstd" or "".
func (l *aLayout) add(tag, packing string, layers ...[]byte) {
	var descriptors []map[string]any
	var diffIDs []string
	for _, plain := range layers {
		packed, kind := pack(l.t, plain, packing)
		diffIDs = append(diffIDs, digest(plain))
		descriptors = append(descriptors, map[string]any{
			"mediaType": "application/vnd.oci.image.layer.v1.tar" + kind, "digest": l.blob(packed), "size": len(packed),
		})
	}
	config := l.blob(l.json(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": l.config, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	}))
	st, err := os.Stat(l.blobPath(config))
	require.NoError(l.t, err)
	l.addManifest(tag, l.json(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": st.Size()},
		"layers": descriptors,
	}))
}

func (l *aLayout) addManifest(tag string, manifest []byte) {
	l.index = append(l.index, map[string]any{
		"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": l.blob(manifest), "size": len(manifest),
		"annotations": map[string]string{refName: tag},
	})
	index := l.json(map[string]any{"schemaVersion": 2, "manifests": l.index})
	require.NoError(l.t, os.WriteFile(l.dir+"/index.json", index, 0o644))
}

func (l *aLayout) json(v any) []byte {
	b, err := json.Marshal(v)
	require.NoError(l.t, err)
	return b
}

func (l *aLayout) source(tag string) Source { return Source{Layout, l.dir, tag} }

func pack(t testing.TB, plain []byte, packing string) (packed []byte, kind string) {
	var b bytes.Buffer
	switch packing {
	case "gzip":
		w := gzip.NewWriter(&b)
		_, err := w.Write(plain)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return b.Bytes(), "+gzip"
	case "zstd":
		w, err := zstd.NewWriter(&b)
		require.NoError(t, err)
		_, err = w.Write(plain)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return b.Bytes(), "+zstd"
	}
	return plain, ""
}

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(lane.Scratch(t), Limits{})
	require.NoError(t, err)
	require.False(t, s.flat)
	t.Cleanup(func() { // os.RemoveAll cannot remove directories of mode 000
		d, err := os.Open(s.Dir)
		require.NoError(t, err)
		defer d.Close()
		require.NoError(t, removeIn(int(d.Fd())))
	})
	return s
}

// look describes all that is below a directory: names, kinds, modes, contents,
// links and overlay's marks.
func look(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		if name != "." {
			all[name] = lookAt(t, path)
		}
		return nil
	})
	require.NoError(t, err)
	return all
}

func lookAt(t testing.TB, path string) string {
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(path, &st))
	mode := fmt.Sprintf("%04o", st.Mode&0o7777)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		var b [1]byte
		if n, _ := unix.Getxattr(path, opaqueXattr, b[:]); n == 1 {
			return "opaque directory " + mode
		}
		return "directory " + mode
	case unix.S_IFLNK:
		to, err := os.Readlink(path)
		require.NoError(t, err)
		return "-> " + to
	case unix.S_IFCHR:
		require.Zero(t, st.Rdev)
		return "whiteout"
	case unix.S_IFIFO:
		return "fifo " + mode
	}
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return mode + " " + string(b)
}

func mkfifo(path string) error { return unix.Mkfifo(path, 0o644) }
