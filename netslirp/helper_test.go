package netslirp

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/tests/program"
)

// fake writes a helper that does what the script says.
func fake(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slirp4netns")
	program.Write(t, path, []byte("#!/bin/sh\n"+script+"\n"))
	return path
}

// launched starts the fake as the driver starts slirp4netns.
func launched(t *testing.T, script string) (*helper, *os.File) {
	t.Helper()
	ready, end, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { ready.Close() })
	h, err := start(command{name: "slirp4netns", path: fake(t, script), files: []*os.File{end}})
	end.Close()
	require.NoError(t, err)
	t.Cleanup(h.stop)
	return h, ready
}

// F08: a helper that is old, dies, or hangs is an error that says so; none is
// left.
func TestHelperFaults(t *testing.T) {
	t.Parallel()
	t.Run("ready", func(t *testing.T) {
		t.Parallel()
		h, ready := launched(t, "printf 1 >&3; exec 3>&-; exec sleep 60")
		require.NoError(t, h.awaitReady(ready, time.Minute))
		assert.Empty(t, h.ended())
		h.stop()
		assert.Equal(t, "slirp4netns: signal: killed", h.ended())
	})
	t.Run("too old", func(t *testing.T) {
		t.Parallel()
		h, ready := launched(t, "echo \"unrecognized option '--enable-seccomp'\" >&2; exit 1")
		err := h.awaitReady(ready, time.Minute)
		require.ErrorContains(t, err, "slirp4netns: exit status 1: unrecognized option '--enable-seccomp'")
		hint, ok := err.(interface{ Hint() string })
		require.True(t, ok)
		assert.Contains(t, hint.Hint(), "slirp4netns 1.1 or later")
	})
	t.Run("dies", func(t *testing.T) {
		t.Parallel()
		h, ready := launched(t, "kill -9 $$")
		require.ErrorContains(t, h.awaitReady(ready, time.Minute), "slirp4netns: signal: killed")
	})
	t.Run("ends without a word", func(t *testing.T) {
		t.Parallel()
		h, ready := launched(t, "exit 0")
		require.ErrorContains(t, h.awaitReady(ready, time.Minute), "slirp4netns: it ended")
	})
	t.Run("hangs", func(t *testing.T) {
		t.Parallel()
		h, ready := launched(t, "exec sleep 60")
		require.ErrorContains(t, h.awaitReady(ready, 100*time.Millisecond), "not ready within 100ms")
	})
	t.Run("no environment of ours", func(t *testing.T) {
		t.Parallel()
		h, ready := launched(t, "env >&2; exit 3")
		require.ErrorContains(t, h.awaitReady(ready, time.Minute), "LC_ALL=C")
		assert.NotContains(t, h.said.String(), "HOME=")
	})
}

func TestTailIsBounded(t *testing.T) {
	t.Parallel()
	var said tail
	for range 1000 {
		_, _ = said.Write([]byte("a line that is said again and again\n"))
	}
	assert.LessOrEqual(t, len(said.b), tailSize)
	assert.Equal(t, "a line that is said again and again; a line that is said again and again; a line that is said again and again", said.String())
}

func TestMissingHelper(t *testing.T) {
	t.Parallel()
	_, err := findHelper("no-such-helper")
	require.ErrorIs(t, err, ErrNotInstalled)
	assert.ErrorContains(t, err, "no-such-helper is not installed in /usr/bin")
}

// The drivers that enter namespaces by pid are not for root: its job's namespaces
// do not know it, and slirp4netns would have the host's mounts to unmount.
func TestDriversOfRoot(t *testing.T) {
	t.Parallel()
	for _, d := range []Driver{SlirpRootlesskit, Pasta} {
		n := New(Config{Driver: d})
		_, _, err := n.Prepare(t.Context(), nil)
		require.NoError(t, n.Close())
		const refused = "has no rights in the namespaces of a job that root runs"
		if os.Geteuid() == 0 {
			require.ErrorContains(t, err, refused)
		} else if err != nil {
			assert.NotContains(t, err.Error(), refused)
		}
	}
}

// Ports need somebody to publish them, and are not silently left out.
func TestNoPublisher(t *testing.T) {
	t.Parallel()
	n := New(Config{Ports: []Port{{Host: 18300, Job: 80}}})
	_, _, err := n.Prepare(t.Context(), nil)
	require.ErrorIs(t, err, errNoPublisher)
	require.NoError(t, n.Close())
}

// What Prepare has begun ends with Close, without a namespace ever.
func TestPreparedForNothing(t *testing.T) {
	t.Parallel()
	n := New(Config{})
	_, _, err := n.Prepare(t.Context(), nil)
	if err != nil {
		t.Skip("no network here: ", err)
	}
	h := n.slirp.helper
	assert.Empty(t, h.ended())
	require.NoError(t, n.Close())
	<-h.done
	assert.NotEmpty(t, h.ended())
}

// A process that waits for its namespaces ends with whoever was to give them.
func TestWaitingHelperEnds(t *testing.T) {
	t.Parallel()
	d, err := newSlirp(slirpConfig{})
	if err != nil {
		t.Skip("no slirp4netns here: ", err)
	}
	require.NoError(t, d.spaces.Close())
	<-d.helper.done
	assert.Equal(t, "slirp4netns: exit status 1", d.helper.ended())
	_ = d.stop()
}
