package prog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A desk is the memory of serve. The request is received over it, data behind
// the fixed part; pointers among the arguments are offsets into both.
type desk struct {
	msg  msghdr
	vec  [2]iovec
	ctrl [cmsgHead + 8]byte // one descriptor
	res  int64
	req  deskRequest
	data [DeskData]byte
}

// Serve makes the system calls that the runner asks for over the socket of
// SlotCtl, through a [Desk], until it says to go on.
func Serve() Step {
	return Call("serve", opServe, Data(make([]byte, unsafe.Sizeof(desk{})), "the runner's requests"))
}

// serve makes system calls for the runner until it is told to go on. It may be
// called only while no untrusted code has run in this process's reach, or when
// none is left: whatever the runner asks for is done.
//
//go:nosplit
//go:norace
//go:nocheckptr
func serve(h *head, d *desk) {
	for {
		d.vec[0] = iovec{uintptr(unsafe.Pointer(&d.req)), unsafe.Sizeof(d.req) + DeskData}
		d.msg.iov, d.msg.iovLen = uintptr(unsafe.Pointer(&d.vec)), 1
		d.msg.ctrl, d.msg.ctrlLen = uintptr(unsafe.Pointer(&d.ctrl)), unsafe.Sizeof(d.ctrl)
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMSG, uintptr(h.slot[SlotCtl]), uintptr(unsafe.Pointer(&d.msg)), unix.MSG_CMSG_CLOEXEC, 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 || n < unsafe.Sizeof(d.req) {
			exit(1) // the runner is gone
		}
		if d.req.nr == 0 {
			return
		}
		fd := int64(-1)
		if d.msg.ctrlLen >= cmsgHead+4 {
			fd = int64(*(*int32)(unsafe.Pointer(&d.ctrl[cmsgHead])))
		}
		attend(d, fd)
		respond(h, d)
		if fd >= 0 {
			syscall.RawSyscall6(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0, 0, 0)
		}
	}
}

// attend makes the call that the request describes.
//
//go:nosplit
//go:norace
//go:nocheckptr
func attend(d *desk, fd int64) {
	for i := range d.req.arg {
		if d.req.pointers&(1<<i) != 0 {
			d.req.arg[i] += uint64(uintptr(unsafe.Pointer(&d.req)))
		}
	}
	if fd >= 0 {
		d.req.arg[0] = uint64(fd)
	}
	a := &d.req.arg
	r, _, errno := syscall.RawSyscall6(uintptr(d.req.nr), uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), uintptr(a[4]), uintptr(a[5]))
	d.res = int64(r)
	if errno != 0 {
		d.res = -int64(errno)
	}
}

// respond sends the result of the call, what it wrote to the data, and the
// descriptor it made.
//
//go:nosplit
//go:norace
//go:nocheckptr
func respond(h *head, d *desk) {
	d.vec[0] = iovec{uintptr(unsafe.Pointer(&d.res)), 8}
	d.vec[1] = iovec{uintptr(unsafe.Pointer(&d.data)), uintptr(d.req.reply)}
	d.msg.iov, d.msg.iovLen = uintptr(unsafe.Pointer(&d.vec)), 2
	d.msg.ctrl, d.msg.ctrlLen = 0, 0
	gives := d.req.gives != 0 && d.res >= 0
	if gives {
		*(*uint64)(unsafe.Pointer(&d.ctrl[0])) = cmsgHead + 4
		*(*[2]int32)(unsafe.Pointer(&d.ctrl[8])) = [2]int32{unix.SOL_SOCKET, unix.SCM_RIGHTS}
		*(*int32)(unsafe.Pointer(&d.ctrl[cmsgHead])) = int32(d.res)
		d.msg.ctrl, d.msg.ctrlLen = uintptr(unsafe.Pointer(&d.ctrl)), unsafe.Sizeof(d.ctrl)
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDMSG, uintptr(h.slot[SlotCtl]), uintptr(unsafe.Pointer(&d.msg)), unix.MSG_NOSIGNAL, 0, 0, 0)
	if errno != 0 {
		exit(1)
	}
	if gives {
		syscall.RawSyscall6(unix.SYS_CLOSE, uintptr(d.res), 0, 0, 0, 0, 0)
	}
}
