package prog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// All of this runs in the forked child: the rules of run_unsafe.go hold.

// keepOnly closes all descriptors but those of the slots in mask: really
// closed, not marked, because this image may never exec (CVE-2024-21626 is
// what an open directory does). It goes upwards over the kept numbers.
//
//go:nosplit
//go:norace
//go:nocheckptr
func keepOnly(h *head, mask uint64) syscall.Errno {
	low := int64(0)
	for {
		next := int64(1) << 31
		for i := range h.slot {
			if mask&(1<<i) != 0 && h.slot[i] >= low && h.slot[i] < next {
				next = h.slot[i]
			}
		}
		if next > low {
			if _, _, errno := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, uintptr(low), uintptr(next-1), 0, 0, 0, 0); errno != 0 {
				return errno
			}
		}
		if next == 1<<31 {
			return 0
		}
		low = next + 1
	}
}

type (
	iovec  struct{ base, len uintptr }
	msghdr struct {
		name    uintptr
		nameLen uint64
		iov     uintptr
		iovLen  uintptr
		ctrl    uintptr
		ctrlLen uintptr
		flags   uint64
	}
)

const cmsgHead = 16

// sendFds sends a message of that kind with the descriptors of the slots in
// mask: init before it forks the job, the job after.
//
//go:nosplit
//go:norace
//go:nocheckptr
func sendFds(h *head, kind uint32, mask uint64) syscall.Errno {
	m := &h.msg
	m.vec = iovec{uintptr(unsafe.Pointer(&kind)), 4}
	m.msghdr.iov, m.msghdr.iovLen = uintptr(unsafe.Pointer(&m.vec)), 1
	n := uintptr(cmsgHead)
	for i := range h.slot {
		if mask&(1<<i) != 0 {
			*(*int32)(unsafe.Add(unsafe.Pointer(&m.ctrl), n)) = int32(h.slot[i])
			n += 4
		}
	}
	if n > cmsgHead {
		*(*uint64)(unsafe.Pointer(&m.ctrl[0])) = uint64(n)
		*(*[2]int32)(unsafe.Pointer(&m.ctrl[8])) = [2]int32{unix.SOL_SOCKET, unix.SCM_RIGHTS}
		m.msghdr.ctrl, m.msghdr.ctrlLen = uintptr(unsafe.Pointer(&m.ctrl[0])), n
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDMSG, uintptr(h.slot[SlotCtl]), uintptr(unsafe.Pointer(&m.msghdr)), ListenerFlags, 0, 0, 0)
	return errno
}

// receiveFds waits for a message that has a descriptor for each of the slots in
// mask. It ends the process at the end of file.
//
//go:nosplit
//go:norace
//go:nocheckptr
func receiveFds(h *head, mask uint64) syscall.Errno {
	var b byte
	m := &h.msg
	m.vec = iovec{uintptr(unsafe.Pointer(&b)), 1}
	m.msghdr.iov, m.msghdr.iovLen = uintptr(unsafe.Pointer(&m.vec)), 1
	for {
		m.msghdr.ctrl, m.msghdr.ctrlLen = uintptr(unsafe.Pointer(&m.ctrl[0])), unsafe.Sizeof(m.ctrl)
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMSG, uintptr(h.slot[SlotCtl]), uintptr(unsafe.Pointer(&m.msghdr)), unix.MSG_CMSG_CLOEXEC, 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 || n == 0 {
			exit(1)
		}
		break
	}
	n, end := uintptr(cmsgHead), uintptr(0)
	if m.msghdr.ctrlLen > cmsgHead {
		end = *(*uintptr)(unsafe.Pointer(&m.ctrl[0])) // without the padding that ctrlLen counts
	}
	for i := range h.slot {
		if mask&(1<<i) != 0 {
			if end < n+4 {
				return syscall.EBADMSG
			}
			h.slot[i] = int64(*(*int32)(unsafe.Add(unsafe.Pointer(&m.ctrl), n)))
			n += 4
		}
	}
	return 0
}
