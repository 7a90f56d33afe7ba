package sandbox

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
)

// TestCrowd: runs that wait in the lot see all that those see which do not, and
// the lot is gone when they are.
func TestCrowd(t *testing.T) {
	lane.Require(t, "userns", "proc")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type ended struct {
		r   *Result
		err error
	}
	start := func(c *Cmd) <-chan ended {
		c.CWD = CWDNone
		require.NoError(t, c.Start(ctx))
		done := make(chan ended, 1)
		go func() {
			r, err := c.Wait()
			done <- ended{r, err}
		}()
		return done
	}
	var quiet []<-chan ended
	for range crowd + 4 {
		quiet = append(quiet, start(Command("sleep", "1000")))
	}
	waiting := func(n int) {
		require.Eventually(t, func() bool {
			lot.Lock()
			defer lot.Unlock()
			return len(lot.runs) >= n
		}, time.Minute, 5*time.Millisecond, "%d runs wait in the lot", n)
	}
	waiting(len(quiet))
	signaled := Command("sleep", "1000")
	dies := start(signaled)
	var out bytes.Buffer
	talks := Command("sh", "-c", "read x; echo $x")
	rd, wr, err := pipe()
	require.NoError(t, err)
	talks.Stdin, talks.Stdout = reader(rd), &out
	says := start(talks)
	limited := Command("sleep", "1000")
	limited.Limits.Wall = 700 * time.Millisecond
	late := start(limited)
	waiting(len(quiet) + 2)

	e := <-late
	require.NoError(t, e.err)
	assert.Equal(t, WallTime, e.r.Verdict, "a deadline")
	require.NoError(t, signaled.Signal(unix.SIGUSR1))
	e = <-dies
	require.NoError(t, e.err)
	assert.Equal(t, Signaled, e.r.Verdict, "a message of init's")
	_, err = unix.Write(wr, []byte("word\n"))
	require.NoError(t, err)
	require.NoError(t, unix.Close(wr))
	e = <-says
	require.NoError(t, e.err)
	require.NoError(t, unix.Close(rd))
	assert.Equal(t, "word\n", out.String(), "output")
	cancel()
	for _, done := range quiet {
		e = <-done
		require.NoError(t, e.err)
		assert.Equal(t, Canceled, e.r.Verdict, "a poke")
	}
	lot.Lock()
	defer lot.Unlock()
	assert.Empty(t, lot.runs)
	assert.Nil(t, lot.epoll)
}

// reader reads a descriptor that is the caller's.
type reader int

func (r reader) Read(b []byte) (int, error) {
	n, err := unix.Read(int(r), b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}
