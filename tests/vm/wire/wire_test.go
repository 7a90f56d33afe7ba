package wire

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	req := RunRequest{Argv: []string{"\xff", ""}, Env: []string{"A=\x00"}, Dir: "/x"}
	require.NoError(t, w.SendValue(Run, req))
	require.NoError(t, w.Send(Stdout, nil))
	long := bytes.Repeat([]byte("x"), MaxPayload+7)
	require.NoError(t, w.Send(Stderr, long))

	typ, payload, err := Read(&b)
	require.NoError(t, err)
	assert.Equal(t, Run, typ)
	var got RunRequest
	require.NoError(t, Decode(payload, &got))
	assert.Equal(t, req, got)
	typ, payload, err = Read(&b)
	require.NoError(t, err)
	assert.Equal(t, Stdout, typ)
	assert.Empty(t, payload)
	_, first, err := Read(&b)
	require.NoError(t, err)
	_, second, err := Read(&b)
	require.NoError(t, err)
	assert.Equal(t, long, append(first, second...))
	_, _, err = Read(&b)
	assert.Equal(t, io.EOF, err)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("o\x00\x00\x00\x01x"))
	f.Add([]byte("z\x00\x00\x00\x00"))
	f.Add([]byte("o\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		typ, payload, err := Read(bytes.NewReader(in))
		if err != nil {
			return
		}
		var b bytes.Buffer
		require.NoError(t, NewWriter(&b).Send(typ, payload))
		assert.Equal(t, in[:b.Len()], b.Bytes())
	})
}
