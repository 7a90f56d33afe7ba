package attack

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// raw makes one system call of which only the answer matters.
func raw(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// call is an attempt of one system call.
func call(number uintptr, args ...uintptr) func() error {
	return func() error { return raw(number, args...) }
}

// rawFD makes a call that returns a descriptor, and closes it.
func rawFD(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		fd, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return errno
		}
		return unix.Close(int(fd))
	}
}

// address is that of zeroed memory which the kernel may write to, or of a text.
func address(text string) uintptr {
	b := append([]byte(text), make([]byte, 256)...)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// kept holds what the kernel is told the addresses of.
var kept [][]byte

func words(w ...uint64) uintptr {
	b := make([]byte, 8*len(w)+256)
	copy(unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), len(w)), w)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// filter loads a system call filter for this thread that allows everything.
func allowAll(flags uintptr) error {
	insn := unix.SockFilter{Code: 0x06, K: unix.SECCOMP_RET_ALLOW}
	prog := unix.SockFprog{Len: 1, Filter: &insn}
	return raw(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
}

// readAt reads memory of a process by process_vm_readv.
func readMemory(pid int, from uintptr) error {
	buf := make([]byte, 8)
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: from, Len: 8}}, 0)
	return err
}
