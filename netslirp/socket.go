package netslirp

import (
	"os"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// open returns a connection to the nf_tables of the namespace in which the
// socket filter was made.
//
// The library makes sockets where its caller is, and its caller, a program of
// many threads, cannot enter a user namespace (setns(2)). It need not: a netlink
// socket belongs to the namespace of its making for ever, and the kernel asks
// only that who made it and who sends may administer that namespace
// (netlink_net_capable): the owner of a user namespace may. So the job's socket
// takes the place of the one that the library has just made.
func open(filter *os.File) (*nftables.Conn, error) {
	return nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = replace(int(fd), int(filter.Fd())) }); err != nil {
			return err
		}
		return failed
	}))
}

// replace puts the socket from where to is, under the same netlink address,
// which the library remembers.
func replace(to, from int) error {
	sa, err := unix.Getsockname(to)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	if err := unix.Bind(from, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	// An answer that never comes must not hold the launch.
	if err := unix.SetsockoptTimeval(from, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("dup3", unix.Dup3(from, to, unix.O_CLOEXEC))
}
