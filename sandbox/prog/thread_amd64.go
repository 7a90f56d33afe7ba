package prog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadPointer returns FS.base.
//
//go:nosplit
//go:norace
//go:nocheckptr
func threadPointer() (tp uintptr) {
	const archGetFs = 0x1003
	syscall.RawSyscall(unix.SYS_ARCH_PRCTL, archGetFs, uintptr(unsafe.Pointer(&tp)), 0)
	return tp
}
