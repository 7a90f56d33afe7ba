package prog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// All of this runs in the forked child: the rules of run_unsafe.go hold.

// awaitProgram gives up all that came along by the fork, and waits for the
// descriptors of a program, which stands in the arena by then. The end of file,
// that is the end of the runner or of its interest, ends the process.
//
//go:nosplit
//go:norace
//go:nocheckptr
func awaitProgram(h *head) {
	sock := uintptr(h.slot[SlotCtl])
	holdOnly(int64(sock))
	if scrub(&h.kept) != 0 {
		exit(1)
	}
	h.trail[0].n = 0 // what follows is told
	var b byte
	m := &h.msg
	m.vec = iovec{uintptr(unsafe.Pointer(&b)), 1}
	m.msghdr.iov, m.msghdr.iovLen = uintptr(unsafe.Pointer(&m.vec)), 1
	for {
		m.msghdr.ctrl, m.msghdr.ctrlLen = uintptr(unsafe.Pointer(&m.ctrl[0])), unsafe.Sizeof(m.ctrl)
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMSG, sock, uintptr(unsafe.Pointer(&m.msghdr)), unix.MSG_CMSG_CLOEXEC, 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 || n == 0 {
			exit(0)
		}
		break
	}
	if m.msghdr.flags&unix.MSG_CTRUNC != 0 || *(*uint64)(unsafe.Pointer(&m.ctrl[0])) != cmsgHead+4*uint64(h.nBound) {
		exit(1) // as RLIMIT_NOFILE or a security module can bring about
	}
	bindSlots(h, unsafe.Pointer(&m.ctrl[cmsgHead]))
	h.took = 1
}
