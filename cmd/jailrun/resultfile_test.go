package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
)

func TestEncodeResult(t *testing.T) {
	code := 3
	text, err := encodeResult(&sandbox.Result{
		Version: 1, ID: "x", StartedAt: time.Unix(0, 0).UTC(), Argv: []string{"a\xffb", "<&>", "\x1b]0;\x07", "\u2028"},
		Verdict: sandbox.Exited, ExitCode: &code, Limits: []sandbox.Enforced{}, Wall: time.Second,
	})
	require.NoError(t, err)
	assert.Equal(t, `{"version":1,"id":"x","jailrun":"","kernel":"","started_at":"1970-01-01T00:00:00Z",`+
		`"argv":["a\ufffdb","<&>","\u001b]0;\u0007","\u2028"],"verdict":"exited","exit_code":3,"wall_ns":1000000000,"setup_ns":0,"limits":[]}`+"\n", text)
}

func FuzzEncodeResult(f *testing.F) {
	f.Add("a", "\xff\xfe\x00\"\\", "</script>")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		text, err := encodeResult(&sandbox.Result{Argv: []string{a, b}, Cause: c, Notes: []string{a}, Limits: []sandbox.Enforced{{Asked: b}}})
		require.NoError(t, err)
		require.True(t, json.Valid([]byte(text)))
		require.True(t, utf8.ValidString(text))
		require.Equal(t, 1, strings.Count(text, "\n"), "one line")
		var back sandbox.Result
		require.NoError(t, json.Unmarshal([]byte(text), &back))
		if utf8.ValidString(a) && utf8.ValidString(b) {
			assert.Equal(t, []string{a, b}, back.Argv)
		}
	})
}
