//go:build cgo

package prog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keepThreadPointer keeps the pages around the thread pointer. In a program
// with cgo the C library has registered a struct rseq there (glibc ≥ 2.35);
// the registration survives the fork, and the kernel kills a process whose
// rseq area it cannot write (rseq(2)).
//
//go:nosplit
//go:norace
//go:nocheckptr
func keepThreadPointer(k *kept) {
	const archGetFs = 0x1003
	var tp uintptr
	syscall.RawSyscall(unix.SYS_ARCH_PRCTL, archGetFs, uintptr(unsafe.Pointer(&tp)), 0)
	k.keep[keepThread] = span{(tp &^ (stackPage - 1)) - 4*stackPage, (tp &^ (stackPage - 1)) + 4*stackPage}
}
