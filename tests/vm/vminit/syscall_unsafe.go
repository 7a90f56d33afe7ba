package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawSwapon is swapon(2), which x/sys does not wrap.
func rawSwapon(path *byte) syscall.Errno {
	_, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(path)), 0, 0)
	return errno
}

// allThreads makes one system call on every thread of this process.
func allThreads(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, errno syscall.Errno) {
	return syscall.AllThreadsSyscall(trap, a1, a2, a3)
}
