package lane

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Ended waits up to 10 s for the end of a process, which need not be a child, and says whether it came. The runtime of
// Go sends signals to its own threads: an interrupted wait begins anew.
func Ended(t testing.TB, pidfd int) bool {
	t.Helper()
	const wait = 10_000 // milliseconds
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, wait)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("poll a pidfd: %v", err)
		}
		return n == 1
	}
}
