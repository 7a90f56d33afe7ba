package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// TestProfileCache: a compiled profile is taken from the cache only if it is
// the caller's alone and was made of this text by this compiler.
func TestProfileCache(t *testing.T) {
	require.NotZero(t, os.Geteuid(), "root's cache lies elsewhere")
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	file := filepath.Join(t.TempDir(), "my.profile")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o644)) }
	compiled := 0
	compile := func(profile string) func([]byte, string) ([]byte, error) {
		return func(text []byte, compiler string) ([]byte, error) {
			compiled++
			plain, err := seccomp.Filter(profile, false)
			require.NoError(t, err)
			e := seccomp.Entry{Compiler: compiler, Source: text, Filter: plain, NoMemfd: plain}
			return e.Encode(), nil
		}
	}
	load := func() *Filter {
		f, err := LoadProfile(file, compile("judge"))
		require.NoError(t, err)
		return f
	}
	write("one")
	first := load()
	assert.Equal(t, first, load())
	assert.Equal(t, 1, compiled, "the second time it was in the cache")
	write("two")
	load()
	assert.Equal(t, 2, compiled, "another text")
	write("one")
	load()
	assert.Equal(t, 2, compiled)

	dir := filepath.Join(state, "jailrun", "filters")
	st, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())
	entry := filepath.Join(dir, entryName([]byte("one")))
	good, err := os.ReadFile(entry)
	require.NoError(t, err)
	weak, err := seccomp.Filter("default", false)
	require.NoError(t, err)
	forged := (&seccomp.Entry{Compiler: "another", Source: []byte("one"), Filter: weak, NoMemfd: weak}).Encode()
	for name, spoil := range map[string]func(){
		"cut short":                func() { require.NoError(t, os.WriteFile(entry, good[:len(good)/2], 0o600)) },
		"by another compiler":      func() { require.NoError(t, os.WriteFile(entry, forged, 0o600)) },
		"others may write it":      func() { require.NoError(t, os.Chmod(entry, 0o666)) },
		"a link to somewhere":      func() { require.NoError(t, os.Remove(entry)); require.NoError(t, os.Symlink(file, entry)) },
		"a directory in its place": func() { require.NoError(t, os.Remove(entry)); require.NoError(t, os.Mkdir(entry, 0o700)) },
	} {
		before := compiled
		spoil()
		assert.Equal(t, first, load(), name)
		assert.Equal(t, before+1, compiled, name)
		require.NoError(t, os.RemoveAll(entry))
		load() // and it is kept again
		assert.Equal(t, first, load())
		assert.Equal(t, before+2, compiled, name)
	}

	// A directory that others may write is not used, and nothing is written.
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.Mkdir(dir, 0o777))
	require.NoError(t, os.Chmod(dir, 0o777))
	before := compiled
	load()
	load()
	assert.Equal(t, before+2, compiled)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)

	// What the compiler says is the error.
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	wrong := errors.New("my.profile:1: wrong")
	_, err = LoadProfile(file, func([]byte, string) ([]byte, error) { return nil, wrong })
	require.ErrorIs(t, err, wrong)
	_, err = LoadProfile(file, func([]byte, string) ([]byte, error) { return forged, nil })
	require.ErrorIs(t, err, seccomp.ErrStale)
	require.NoError(t, unix.Mkfifo(file+".fifo", 0o600))
	_, err = LoadProfile(file+".fifo", compile("judge"))
	require.ErrorContains(t, err, "no regular file")
}

// TestOwnFilter: a filter of the caller's own stands in for the profile, and
// for memory that is watched its second form.
func TestOwnFilter(t *testing.T) {
	judge, err := seccomp.Filter("judge", false)
	require.NoError(t, err)
	strict, err := seccomp.Filter("strict", false)
	require.NoError(t, err)
	s := Spec{Args: []string{"true"}, Seccomp: "./my.profile", Filter: &Filter{Plain: judge, NoMemfd: strict}}
	require.NoError(t, s.check())
	for watched, want := range map[bool][]byte{false: judge, true: strict} {
		got, err := s.compiled(watched)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	s.Filter.NoMemfd = judge[:16]
	var field *FieldError
	require.ErrorAs(t, s.check(), &field)
	assert.Equal(t, "seccomp", field.Field)
}
