package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/program"
)

// childVariable makes the test program import os.Args[2] into the store below
// os.Args[1], and says how that goes on.
const childVariable = "JAILRUN_TEST_IMPORT"

// Ways in which a child imports.
const (
	stopInLayer   = "stop-in-layer"   // until the first byte has been read
	stopAfterOne  = "stop-after-one"  // until the first layer is in the store
	expectNoSpace = "expect-no-space" // to the end, which is to be ENOSPC and an empty store
)

func importAsChild(how string) int {
	s, err := Open(os.Args[1], Limits{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	src, err := ParseSource(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	_, err = s.Import(context.Background(), src, Options{Progress: func(p Progress) {
		if how == stopInLayer || how == stopAfterOne && p.State == Done {
			fmt.Println("here")
			select {}
		}
	}})
	for _, dir := range []string{"tmp", "layers", "images", "meta", "names"} {
		if list, lerr := os.ReadDir(s.Dir + "/" + dir); lerr != nil || len(list) > 0 {
			fmt.Fprintln(os.Stderr, "left in", dir, list, lerr)
			return 3
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		fmt.Fprintln(os.Stderr, "import:", err)
		return 4
	}
	fmt.Println(err)
	return 0
}

// TestKilled: an import that is killed leaves whole layers and what the next
// import sweeps, wherever it was.
func TestKilled(t *testing.T) {
	t.Parallel()
	l := newLayout(t)
	one := tarOf(t, file("one", strings.Repeat("1", 1<<20)))
	l.add("", "gzip", one, tarOf(t, file("two", strings.Repeat("2", 1<<20))))
	self := t.TempDir() + "/importer"
	program.CopySelf(t, self)
	for how, fresh := range map[string]int{stopInLayer: 2, stopAfterOne: 1} {
		state := lane.Scratch(t)
		cmd := exec.Command(self, state, l.source("").String())
		cmd.Env = append(os.Environ(), childVariable+"="+how)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = out.Read(make([]byte, 8))
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())

		s, err := Open(state, Limits{})
		require.NoError(t, err)
		list, err := s.List()
		require.NoError(t, err)
		assert.Empty(t, list, "there is no half of an image")
		left, err := os.ReadDir(s.Dir + "/tmp")
		require.NoError(t, err)
		assert.NotEmpty(t, left, "the control: it was in the middle")
		got, m := imported(t, s, l.source(""), Options{Name: "x"})
		assert.Equal(t, fresh, got.Fresh)
		assert.Len(t, m.Layers, 2)
		assertClean(t, s)
	}
}

// TestFullDisk: a disk that becomes full in the middle of an import, of files
// here, fails it and nothing is left.
func TestFullDisk(t *testing.T) {
	lane.Require(t, "userns")
	self := t.TempDir() + "/importer"
	program.CopySelf(t, self)
	dir := t.TempDir()
	var entries []entry
	for i := range 2000 {
		entries = append(entries, file(fmt.Sprintf("d%d/f%d", i%10, i), "x"))
	}
	require.NoError(t, os.WriteFile(dir+"/root.tar", tarOf(t, entries...), 0o644))
	c := &sandbox.Cmd{}
	c.Args, c.CWD = []string{"/program", "/small", "/dir/root.tar"}, sandbox.CWDNone
	c.Binds = []sandbox.Bind{{Source: self, Target: "/program"}, {Source: dir, Target: "/dir"}}
	c.Tmpfs = []sandbox.Tmpfs{{Target: "/small", Size: 300 * limits.MiB}}
	c.Limits.Disk, c.Limits.Inodes = 600*limits.MiB, 2000 // half of them are /small's
	c.AddEnv = []string{childVariable + "=" + expectNoSpace}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	res, err := c.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 0, *res.ExitCode, stderr.String())
	assert.Contains(t, stdout.String(), `/dir/root.tar: layer 1 of 1 (tar): "d`, "image, layer and entry are named")
}

// TestNoRoom: where the file system has no room left for images, that is what is
// said, and not that the image is too large.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	b := newBudget(Limits{Bytes: 10})
	b.tight = true
	assert.ErrorIs(t, b.again().take(11), unix.ENOSPC)
	assert.NoError(t, b.take(10))
	assert.ErrorIs(t, newBudget(Limits{Bytes: 10}).take(11), ErrTooLarge)
}

// TestConcurrentTars: of many imports of one tar one unpacks it.
func TestConcurrentTars(t *testing.T) {
	t.Parallel()
	src := plainSource(t, "x.tar", tarOf(t, file("f", strings.Repeat("s", 1<<20))))
	settle(t, src.Path)
	state := lane.Scratch(t)
	var wg sync.WaitGroup
	fresh := make([]int, 8)
	for i := range fresh {
		wg.Go(func() {
			s, err := Open(state, Limits{})
			if !assert.NoError(t, err) {
				return
			}
			unpacked := false
			_, err = s.Import(t.Context(), src, Options{Progress: func(Progress) { unpacked = true }})
			if assert.NoError(t, err) && unpacked {
				fresh[i] = 1
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range fresh {
		sum += n
	}
	assert.Equal(t, 1, sum)
	s, err := Open(state, Limits{})
	require.NoError(t, err)
	assertClean(t, s)
	_, err = s.Named("x")
	assert.NotErrorIs(t, err, jfs.ErrNotImported)
}
