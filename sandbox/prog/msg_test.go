package prog_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

func TestParseFailure(t *testing.T) {
	b := make([]byte, 16)
	binary.NativeEndian.PutUint32(b, 1)
	b[4], b[5] = 1, byte(prog.StageExec)
	binary.NativeEndian.PutUint32(b[8:], 7)
	binary.NativeEndian.PutUint32(b[12:], uint32(unix.ENOENT))
	f, err := prog.ParseFailure(b)
	require.NoError(t, err)
	assert.Equal(t, prog.Failure{InJob: true, Stage: prog.StageExec, Index: 7, Errno: unix.ENOENT}, f)
	for i, bad := range map[int]byte{0: 9, 4: 2, 5: 200, 13: 0xff} {
		c := append([]byte(nil), b...)
		c[i] = bad
		_, err := prog.ParseFailure(c)
		assert.ErrorIs(t, err, prog.ErrMessage, "byte %d", i)
	}
	_, err = prog.ParseFailure(b[:15])
	assert.ErrorIs(t, err, prog.ErrMessage)
}

// What comes over the status pipe and the ctl socket is untrusted input.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 1, 10, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0})
	f.Add([]byte{2, 0, 0, 0})
	f.Add(append([]byte{3, 0, 0, 0}, make([]byte, 300)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := prog.ParseFailure(b); err == nil {
			require.NotZero(t, m.Errno)
			require.NotEqual(t, "unknown stage", m.Stage.String())
		}
		if r, err := prog.ParseReport(b); err == nil && r.Exit != nil {
			require.True(t, r.Exit.Status.Exited() || r.Exit.Status.Signaled())
			require.False(t, r.Ready)
		}
		if _, _, err := prog.ParseAnswer(b); err == nil {
			require.Len(t, b, 8)
		}
	})
}
