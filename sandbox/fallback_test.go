package sandbox

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
)

// TestFallback is the other half of row A105: where no overlay works, a bind
// mount shows a tree only if it lends nothing.
func TestFallback(t *testing.T) {
	clean, socket, fifo := t.TempDir(), t.TempDir(), t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(clean, "a/b"), 0o755))
	l, err := net.Listen("unix", filepath.Join(socket, "s"))
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, os.MkdirAll(filepath.Join(fifo, "a/b"), 0o755))
	require.NoError(t, unix.Mkfifo(filepath.Join(fifo, "a/b/p"), 0o644))
	refused := func(source string) *Error { return &Error{Op: "mount overlay", Path: source, Errno: unix.EINVAL} }
	for _, tt := range []struct {
		name   string
		plan   Plan
		failed *Error
		again  bool
		err    string
		then   func(*testing.T, *build)
	}{
		{"a bind", Plan{root: fs.Root{Extra: []fs.Mount{{Source: clean}}}}, refused(clean), true, "", func(t *testing.T, b *build) { assert.Equal(t, []string{clean}, b.plain) }},
		{"a bind with a socket", Plan{root: fs.Root{Extra: []fs.Mount{{Source: socket}}}}, refused(socket), false, `would lend the job "` + socket + "/s", nil},
		{"a bind with a FIFO", Plan{root: fs.Root{Extra: []fs.Mount{{Source: fifo}}}}, refused(fifo), false, "a/b/p", nil},
		{"a copied directory", Plan{cwd: CWDCopy, root: fs.Root{Work: fs.Mount{Source: clean}}}, refused(clean), true, "", func(t *testing.T, b *build) { assert.NotEmpty(t, b.noWork) }},
		{"read-only", Plan{cwd: CWDReadOnly, root: fs.Root{Work: fs.Mount{Source: clean}}}, refused(clean), true, "", func(t *testing.T, b *build) { assert.Equal(t, []string{clean}, b.plain) }},
		{"read-only with a FIFO", Plan{cwd: CWDReadOnly, root: fs.Root{Work: fs.Mount{Source: fifo}}}, refused(fifo), false, "a/b/p", nil},
		{"read-only by itself with a FIFO", Plan{cwd: CWDReadOnly, cwdAuto: true, root: fs.Root{Work: fs.Mount{Source: fifo}}}, refused(fifo), true, "", func(t *testing.T, b *build) { assert.Equal(t, CWDNone, b.cwd) }},
		{"the root", Plan{root: fs.Root{Lowers: []fs.Lower{{Dir: clean}}}}, refused(clean), true, "", func(t *testing.T, b *build) { assert.NotEmpty(t, b.noOverlay) }},
		{"another step", Plan{root: fs.Root{Extra: []fs.Mount{{Source: clean}}}}, &Error{Op: "mount proc", Path: clean}, false, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &run{cmd: &Cmd{}, spec: &Spec{}, plan: &tt.plan}
			var b build
			again, err := r.fallback(&b, tt.failed)
			assert.Equal(t, tt.again, again)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			if tt.then != nil {
				tt.then(t, &b)
				if b.plain != nil || b.cwd != CWDAuto { // else the next plan says it
					assert.NotEmpty(t, r.notes, "it is said")
				}
				again, _ = r.fallback(&b, tt.failed)
				if b.plain != nil || b.noOverlay != "" {
					assert.False(t, again, "once")
				}
			}
		})
	}
}

func TestSpecialIsBounded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	_, err := fs.Special(dir, 2)
	require.ErrorIs(t, err, fs.ErrTooMany)
	found, err := fs.Special(dir, 3)
	require.NoError(t, err)
	assert.Empty(t, found)
}

func TestOwnPlaces(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bin/jailrun", "bin/jailrun-net", "bin/other", "libexec/jailrun/x", "state/jailrun/x"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o755))
	}
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	places := ownPlaces(filepath.Join(dir, "bin/jailrun"), "", 1000)
	assert.ElementsMatch(t, []string{
		filepath.Join(dir, "bin/jailrun"), filepath.Join(dir, "bin/jailrun-net"), filepath.Join(dir, "libexec/jailrun"), filepath.Join(dir, "state/jailrun"),
	}, places)

	f := &facts{own: places}
	var pl Plan
	require.NoError(t, pl.protect(dir, "/work", f))
	assert.Equal(t, []fs.Pin{
		{Target: "/work/bin"},
		{Target: "/work/bin/jailrun", ReadOnly: true},
		{Target: "/work/bin/jailrun-net", ReadOnly: true},
		{Target: "/work/libexec"},
		{Target: "/work/libexec/jailrun", ReadOnly: true},
		{Target: "/work/state"},
		{Target: "/work/state/jailrun", ReadOnly: true},
	}, pl.root.Pins)
}
