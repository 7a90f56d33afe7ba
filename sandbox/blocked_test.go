package sandbox

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/tests/lane"
)

// TestBlocked: a job that reads is blocked, also behind a shell that waits for
// it; one that computes or sleeps is not.
func TestBlocked(t *testing.T) {
	lane.Require(t, "proc-syscall")
	t.Parallel()
	for name, x := range map[string]struct {
		script string
		want   bool
	}{
		"reads":    {"echo; read x", true},
		"child":    {"echo; cat; true", true},
		"computes": {"echo; while :; do :; done", false},
		"sleeps":   {"echo; sleep 100", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, feed := io.Pipe()
			defer feed.Close()
			out, says := io.Pipe()
			c := Command("sh", "-c", x.script)
			c.Stdin, c.Stdout, c.CWD = in, says, CWDNone
			_, err := c.Blocked()
			assert.Error(t, err, "it does not run yet")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			require.NoError(t, c.Start(ctx))
			ended := make(chan error, 1)
			go func() {
				_, err := c.Wait() // which passes on what the job writes
				ended <- err
			}()
			_, err = out.Read(make([]byte, 1)) // it runs
			require.NoError(t, err)
			seen := false
			// A shell may be on its way to what it will do for ever.
			assert.Eventually(t, func() bool {
				seen, err = c.Blocked()
				return err != nil || seen == x.want
			}, 20*time.Second, time.Millisecond)
			require.NoError(t, err)
			if !x.want {
				for range 200 { // and stays so
					seen, err = c.Blocked()
					require.NoError(t, err)
					require.False(t, seen)
				}
			}
			cancel()
			require.NoError(t, <-ended)
		})
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{
		"running\n": {}, "": {}, "-1 0x7ffe 0x7f\n": {}, "x 1": {},
		"0 0x0 0x7f 0x400\n": {true, true}, "0 0x3 0x7f 0x400\n": {},
	} {
		reading, asleep := waits([]byte(text))
		if text[:min(2, len(text))] == "0 " && waitsForSeveral(7) || len(want) > 0 && want == [2]bool{} {
			assert.Equal(t, want, [2]bool{reading, asleep}, text) // the numbers are amd64's
		}
	}
}
