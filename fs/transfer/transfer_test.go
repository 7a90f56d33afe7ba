package transfer

import (
	"archive/tar"
	"bytes"
	stdsha "crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs/outfile"
)

var wide = Bounds{Bytes: 1 << 30, Entries: 10000}

// hostile is a tree as a job may leave it.
func hostile(t *testing.T) (root *os.File, dir string) {
	t.Helper()
	dir = t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.MkdirAll(p("out/sub"), 0o755))
	require.NoError(t, os.WriteFile(p("out/sub/f"), []byte("text"), 0o644))
	require.NoError(t, os.WriteFile(p("out/suid"), []byte("#!"), 0o755))
	require.NoError(t, os.Chmod(p("out/suid"), 0o4755|os.ModeSetuid))
	require.NoError(t, os.Symlink("/etc/passwd", p("out/link")))
	require.NoError(t, os.Symlink("/etc", p("out/dirlink")))
	require.NoError(t, os.Symlink("out", p("place")))
	require.NoError(t, unix.Mkfifo(p("out/fifo"), 0o666))
	hole, err := os.OpenFile(p("out/hole"), os.O_WRONLY|os.O_CREATE, 0o644)
	require.NoError(t, err)
	require.NoError(t, hole.Truncate(8<<20))
	_, err = hole.WriteAt([]byte("end"), 4<<20)
	require.NoError(t, err)
	require.NoError(t, hole.Close())
	root, err = os.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	return root, dir
}

func TestCopyOut(t *testing.T) {
	root, _ := hostile(t)
	r := Reader{Root: root}
	to := filepath.Join(t.TempDir(), "result")
	out, err := outfile.OpenTree(to)
	require.NoError(t, err)
	done, err := r.CopyOut("/out", out, wide)
	require.NoError(t, err)
	assert.Equal(t, 3, done.Files)
	assert.Equal(t, 3, done.Skipped.Count)
	assert.Equal(t, []string{`"dirlink": a symbolic link`, `"fifo": a FIFO`, `"link": a symbolic link`}, done.Skipped.First)
	var names []string
	require.NoError(t, filepath.WalkDir(to, func(path string, _ os.DirEntry, err error) error {
		names = append(names, strings.TrimPrefix(path, to))
		return err
	}))
	assert.Equal(t, []string{"", "/hole", "/sub", "/sub/f", "/suid"}, names)
	st, err := os.Stat(filepath.Join(to, "suid"))
	require.NoError(t, err)
	assert.Zero(t, st.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky))
	var hole unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(to, "hole"), &hole))
	assert.Equal(t, int64(8<<20), hole.Size)
	assert.Less(t, hole.Blocks*512, int64(1<<20), "a hole stays one")
	text, err := os.ReadFile(filepath.Join(to, "hole"))
	require.NoError(t, err)
	assert.Equal(t, "end", string(text[4<<20:4<<20+3]))
}

// TestCopyOutRefuses: nothing but a regular file or directory, by a way without
// links, within bounds; and then nothing is left.
func TestCopyOutRefuses(t *testing.T) {
	root, dir := hostile(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), []byte("x"), 0o644))
	r := Reader{Root: root}
	for _, tt := range []struct {
		place string
		b     Bounds
		want  string
	}{
		{"/plain", wide, ""}, // the control
		{"/none", wide, "no such file"},
		{"/place", wide, "symbolic link"},
		{"/place/sub", wide, "symbolic link"},
		{"/out/link", wide, "symbolic link"},
		{"/out/dirlink/passwd", wide, "symbolic link"},
		{"/out/fifo", wide, "a FIFO"},
		{"/out", Bounds{Bytes: 1 << 30, Entries: 3}, ErrTooMany.Error()},
		{"/out", Bounds{Bytes: 1 << 20, Entries: 100}, ErrTooLarge.Error()},
		{"/out/../../etc", wide, "cross-device"}, // RESOLVE_BENEATH
	} {
		where := t.TempDir()
		out, err := outfile.OpenTree(filepath.Join(where, "x"))
		require.NoError(t, err)
		_, err = r.CopyOut(tt.place, out, tt.b)
		if tt.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, tt.want, tt.place)
		list, err := os.ReadDir(where)
		require.NoError(t, err)
		assert.Empty(t, list, tt.place)
	}
}

func TestTooDeepIsSkipped(t *testing.T) {
	dir := t.TempDir()
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	require.NoError(t, err)
	for range 5 * maxDepth {
		require.NoError(t, unix.Mkdirat(at, "d", 0o755))
		next, err := unix.Openat(at, "d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		require.NoError(t, err)
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	root, err := os.Open(dir)
	require.NoError(t, err)
	defer root.Close()
	out, err := outfile.OpenTree(filepath.Join(t.TempDir(), "x"))
	require.NoError(t, err)
	done, err := (&Reader{Root: root}).CopyOut("/", out, wide)
	require.NoError(t, err)
	require.Equal(t, 1, done.Skipped.Count)
	assert.Contains(t, done.Skipped.First[0], ErrTooDeep.Error())
}

// TestTar reads what is written with another program's eyes: long names, large
// and sparse files, and nothing but files and directories.
func TestTar(t *testing.T) {
	root, dir := hostile(t)
	long := strings.Repeat("n", 200) + "\n" + strings.Repeat("ä", 20)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "out", long), []byte("long"), 0o600))
	var buf bytes.Buffer
	done, err := (&Reader{Root: root}).Tar("/out", &buf, wide)
	require.NoError(t, err)
	assert.Equal(t, 4, done.Files)
	got := map[string]int64{}
	for r := tar.NewReader(&buf); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, r)
		require.NoError(t, err)
		got[h.Name] = n
		assert.Zero(t, h.Mode&0o7000, h.Name)
	}
	assert.Equal(t, map[string]int64{"./": 0, "hole": 8 << 20, "sub/": 0, "sub/f": 4, "suid": 2, long: 4}, got)
}

func FuzzTarHeader(f *testing.F) {
	f.Add("name", "link", int64(3), uint32(1000), "v")
	f.Add(strings.Repeat("x", 300), strings.Repeat("ü", 90), int64(1)<<34, uint32(1)<<31, "=\n")
	f.Fuzz(func(t *testing.T, name, link string, size int64, uid uint32, value string) {
		if name == "" || strings.ContainsAny(name+link, "\x00") || size < 0 || strings.HasSuffix(name, "/") || link == "" {
			t.Skip("no name in an archive")
		}
		var buf bytes.Buffer
		w := tarWriter{w: &buf}
		require.NoError(t, w.header(&tarHeader{kind: tarFile, name: name, size: size, uid: uid, mode: 0o644, xattrs: [][2]string{{"user.x", value}}}))
		h, err := tar.NewReader(&buf).Next()
		require.NoError(t, err)
		assert.Equal(t, name, h.Name)
		assert.Equal(t, size, h.Size)
		assert.Equal(t, int(uid), h.Uid)
		assert.Equal(t, value, h.PAXRecords["SCHILY.xattr.user.x"])
		buf.Reset()
		w = tarWriter{w: &buf}
		require.NoError(t, w.header(&tarHeader{kind: tarSymlink, name: name, link: link}))
		require.NoError(t, w.end())
		h, err = tar.NewReader(&buf).Next()
		require.NoError(t, err)
		assert.Equal(t, link, h.Linkname)
	})
}

func FuzzSHA256(f *testing.F) {
	f.Add([]byte("abc"), 1)
	f.Add(bytes.Repeat([]byte("x"), 119), 63)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		cut = min(max(cut, 0), len(data))
		s := newSHA256()
		_, _ = s.Write(data[:cut])
		_, _ = s.Write(data[cut:])
		want := stdsha.Sum256(data)
		assert.Equal(t, hex.EncodeToString(want[:]), s.sum())
	})
}

func TestSHA256(t *testing.T) {
	for n := range 300 {
		data := bytes.Repeat([]byte{byte(n)}, n)
		s := newSHA256()
		_, _ = s.Write(data)
		want := stdsha.Sum256(data)
		require.Equal(t, hex.EncodeToString(want[:]), s.sum())
	}
}
