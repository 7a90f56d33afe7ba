package sandbox

import "golang.org/x/sys/unix"

// waitsForSeveral knows the calls that arm64 does not have.
func waitsForSeveral(nr int) bool {
	return nr == unix.SYS_POLL || nr == unix.SYS_SELECT || nr == unix.SYS_EPOLL_WAIT
}
