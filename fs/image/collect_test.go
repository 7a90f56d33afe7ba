package image

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
)

func TestCollect(t *testing.T) {
	t.Parallel()
	shared := tarOf(t, file("shared", "s"), entry{Header: header("locked/", 0o000)}, entry{Header: header("locked2/", 0o500)}, file("locked2/f", ""))
	l := newLayout(t)
	l.add("one", "", shared, tarOf(t, file("one", "1")))
	l.add("two", "", shared, tarOf(t, file("two", "2")))
	s := newStore(t)
	one, m := imported(t, s, l.source("one"), Options{Name: "one"})
	imported(t, s, l.source("two"), Options{Name: "two"})
	_, used, err := s.OpenImage(one.ID) // as a job does
	require.NoError(t, err)

	require.NoError(t, s.Remove("one"))
	got, err := s.Collect(nil)
	require.NoError(t, err)
	assert.Equal(t, []string{one.ID}, got.InUse)
	assert.Equal(t, 0, got.Layers)
	opened(t, s, one.ID)
	list, err := s.List()
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.True(t, list[0].InUse, "the one without a name comes first")
	assert.False(t, list[1].InUse)

	require.NoError(t, unix.Close(used))
	got, err = s.Collect(nil)
	require.NoError(t, err)
	assert.Equal(t, Collected{Images: 1, Layers: 1, Bytes: 1}, *got, "the shared layer stays")
	_, _, err = s.OpenImage(one.ID)
	assert.ErrorIs(t, err, jfs.ErrNotImported)
	assert.NoDirExists(t, s.Layers()+"/"+m.Layers[1])

	require.NoError(t, s.Remove("two"))
	got, err = s.Collect(nil)
	require.NoError(t, err)
	assert.Equal(t, 2, got.Layers)
	assert.Empty(t, lookFiles(t, s))
	assert.ErrorIs(t, s.Remove("two"), ErrNoImage)
}

// lookFiles lists what is in the store but its directories and its lock.
func lookFiles(t *testing.T, s *Store) []string {
	var left []string
	for path, text := range snapshot(t, s) {
		if !strings.HasPrefix(text, "d-") && !strings.HasPrefix(text, "d---") {
			left = append(left, path)
		}
	}
	list, err := os.ReadDir(s.Layers())
	require.NoError(t, err)
	for _, l := range list {
		left = append(left, l.Name())
	}
	return left
}

// TestSourceKeeps: an image without a name stays as long as the file it came
// out of is as it was, and a launch knows it by that file.
func TestSourceKeeps(t *testing.T) {
	t.Parallel()
	l := newLayout(t)
	l.add("one", "", tarOf(t, file("one", "1")))
	settle(t, l.dir+"/index.json")
	s := newStore(t)
	got, _ := imported(t, s, l.source("one"), Options{Name: "-"})
	id, err := s.From(l.dir+"/index.json", "one")
	require.NoError(t, err)
	assert.Equal(t, got.ID, id)
	_, err = s.From(l.dir+"/index.json", "other")
	assert.ErrorIs(t, err, jfs.ErrNotImported)
	col, err := s.Collect(nil)
	require.NoError(t, err)
	assert.Equal(t, Collected{}, *col)
	again, err := s.Import(t.Context(), l.source("one"), Options{Name: "x:1"})
	require.NoError(t, err)
	assert.Equal(t, 0, again.Fresh)

	require.NoError(t, s.Remove(got.ID[7:25]))
	col, err = s.Collect(nil)
	require.NoError(t, err)
	assert.Equal(t, 1, col.Images)

	imported(t, s, l.source("one"), Options{Name: "-"})
	l.add("two", "", tarOf(t, file("two", "2"))) // another index.json
	_, err = s.From(l.dir+"/index.json", "one")
	assert.ErrorIs(t, err, jfs.ErrNotImported)
	col, err = s.Collect(nil)
	require.NoError(t, err)
	assert.Equal(t, 1, col.Images)
}

// settle waits until a change of a file can be told by its times.
func settle(t testing.TB, path string) {
	t.Helper()
	for {
		var st unix.Stat_t
		require.NoError(t, unix.Stat(path, &st))
		left := settled - time.Since(time.Unix(st.Ctim.Unix()))
		if left <= 0 {
			return
		}
		<-time.After(left)
	}
}

// TestFreshSource: a file that has just been written may be written again
// without that its times tell, so it is not remembered.
func TestFreshSource(t *testing.T) {
	t.Parallel()
	l := newLayout(t)
	l.add("", "", tarOf(t, file("one", "1")))
	s := newStore(t)
	got, _ := imported(t, s, l.source(""), Options{Name: "-"})
	index := l.dir + "/index.json"
	for range 100 {
		now := time.Now()
		require.NoError(t, os.Chtimes(index, now, now)) // the change time becomes now
		key, err := l.source("").key()
		require.NoError(t, err)
		require.NoError(t, s.addSource(key, l.source(""), got.ID))
		if time.Since(now) < settled { // else the machine was busy, and the file is no longer fresh
			_, err = s.From(index, "")
			assert.ErrorIs(t, err, jfs.ErrNotImported)
			return
		}
	}
	t.Fatal("no file stayed fresh for two system calls")
}

// TestCrash: what an import that died has left is gone after the next one.
func TestCrash(t *testing.T) {
	t.Parallel()
	layer := tarOf(t, file("f", "x"))
	l := newLayout(t)
	l.add("", "", layer)
	s := newStore(t)
	half := s.Dir + "/tmp/" + jfs.LayerName(digest(layer))
	for _, dir := range []string{half, s.Dir + "/tmp/123"} {
		require.NoError(t, os.MkdirAll(dir+"/tree/sub", 0o700))
		require.NoError(t, os.WriteFile(dir+"/tree/half", []byte("half"), 0o600))
		require.NoError(t, os.Chmod(dir+"/tree/sub", 0))
	}
	require.NoError(t, os.WriteFile(s.Dir+"/tmp/file1", []byte("half"), 0o600))
	_, m := imported(t, s, l.source(""), Options{Name: "x"})
	assert.Equal(t, map[string]string{"f": "0644 x"}, look(t, s.Layers()+"/"+m.Layers[0]))
	_, err := s.Collect(nil)
	require.NoError(t, err)
	assertClean(t, s)
}

// TestMended: an image whose layer is gone is imported again.
func TestMended(t *testing.T) {
	t.Parallel()
	l := newLayout(t)
	l.add("", "", tarOf(t, file("f", "x")))
	settle(t, l.dir+"/index.json")
	s := newStore(t)
	got, m := imported(t, s, l.source(""), Options{Name: "x"})
	require.NoError(t, os.RemoveAll(s.Layers()+"/"+m.Layers[0]))
	assert.ErrorContains(t, s.CheckLayers(m), "layer 1 of 1")
	again, _ := imported(t, s, l.source(""), Options{Name: "x"})
	assert.Equal(t, got.ID, again.ID)
	assert.Equal(t, 1, again.Fresh)
}

// TestForeignStore: a store that others may enter is refused.
func TestForeignStore(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	s, err := Open(state, Limits{})
	require.NoError(t, err)
	require.NoError(t, os.Chmod(s.Dir, 0o750))
	_, err = Open(state, Limits{})
	assert.ErrorIs(t, err, jfs.ErrStoreUnsafe)
	_, err = jfs.OpenStore(state, os.Geteuid())
	assert.ErrorIs(t, err, jfs.ErrStoreUnsafe)
	require.NoError(t, os.Chmod(s.Dir, 0o700))
	_, err = jfs.OpenStore(state, os.Geteuid()+1)
	assert.ErrorIs(t, err, jfs.ErrStoreUnsafe)
	_, err = jfs.OpenStore(state, os.Geteuid())
	assert.NoError(t, err, "the control")

	moved := t.TempDir()
	require.NoError(t, os.Symlink(s.Dir, moved+"/images"))
	_, err = jfs.OpenStore(moved, os.Geteuid())
	assert.Error(t, err, "a link")
}
