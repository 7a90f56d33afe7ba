package prog_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// TestKeyring: whoever forks the program, its session keyring is not the
// caller's; the one that a spawner's children share is closed to them.
func TestKeyring(t *testing.T) {
	own, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
	if err != nil {
		t.Skip("no keyrings: ", err)
	}
	session := -3 // KEY_SPEC_SESSION_KEYRING
	get := prog.Call("keyctl", unix.SYS_KEYCTL, prog.Int(unix.KEYCTL_GET_KEYRING_ID), prog.Int(session), prog.Int(0)).Want(own)
	add := prog.Call("add_key", unix.SYS_ADD_KEY, prog.Str("user"), prog.Str("jailrun-test"), prog.Str("x"), prog.Int(1), prog.Int(session))
	launch := func(first ...prog.Step) (*prog.Program, string) {
		p := minimal("/bin/true")
		p.Job = append(first, p.Job...)
		l := start(t, p, p.SlotNamed("stdout"))
		status, _, r := l.end(t)
		require.NotNil(t, r.Exit)
		return p, status
	}
	_, status := launch()
	require.Empty(t, status, "the first launch of a process may be its own, further ones are the spawner's")
	for name, c := range map[string]struct {
		steps []prog.Step
		errno unix.Errno
	}{
		"the spawner's is not the caller's": {[]prog.Step{get}, unix.EACCES},
		"and takes no key":                  {[]prog.Step{add}, unix.EACCES},
		"an own one is left out":            {append(prog.Keyring(), get), unix.EACCES},
		"unless it is made":                 {[]prog.Step{prog.Call("keyctl", unix.SYS_KEYCTL, prog.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), prog.Nil()), add}, 0},
	} {
		p, status := launch(c.steps...)
		if c.errno == 0 {
			assert.Empty(t, status, name)
			continue
		}
		f, err := prog.ParseFailure([]byte(status))
		require.NoError(t, err, name)
		s, _ := p.Step(f)
		assert.Equal(t, c.errno, f.Errno, "%s: %s", name, s.Name)
	}
}

// TestKeyringBeyondQuota: a job gets its keyring also when its user may have no
// further key. The control is the call that asks for one.
func TestKeyringBeyondQuota(t *testing.T) {
	session := -3 // KEY_SPEC_SESSION_KEYRING
	add := prog.Call("add_key", unix.SYS_ADD_KEY, prog.Str("user"), prog.Str("jailrun-test"), prog.Str("x"), prog.Int(1), prog.Int(session))
	ask := prog.Call("keyctl", unix.SYS_KEYCTL, prog.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), prog.Nil())
	failure := func(first ...prog.Step) prog.Failure {
		p := minimal("/bin/true")
		p.Job = append(first, p.Job...)
		l := start(t, p, p.SlotNamed("stdout"))
		status, _, _ := l.end(t)
		f, err := prog.ParseFailure([]byte(status))
		require.NoError(t, err)
		return f
	}
	runtime.LockOSThread() // never unlocked: the keys end with the thread
	for n := 0; ; n++ {
		_, err := unix.AddKey("user", itoa(n), []byte("x"), unix.KEY_SPEC_THREAD_KEYRING)
		if n == 0 && err == unix.ENOSYS {
			t.Skip("no keyrings: ", err)
		}
		if err != nil {
			require.Equal(t, unix.EDQUOT, err)
			break
		}
	}
	for n := 0; ; n++ { // what is left of the bytes may do for an empty keyring
		if _, err := unix.AddKey("keyring", itoa(n), nil, unix.KEY_SPEC_THREAD_KEYRING); err != nil {
			require.Equal(t, unix.EDQUOT, err)
			break
		}
	}
	f := failure(ask)
	assert.Equal(t, unix.EDQUOT, f.Errno)
	closed := prog.OwnKeyring()
	f = failure(append(closed, add)...)
	assert.Equal(t, unix.EACCES, f.Errno)
	assert.Equal(t, len(closed), f.Index, "the step that failed is add_key")
}
