package prog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keepStack records the pages around the stack pointer as those that scrub
// must keep. The nosplit chain below it needs less than a page.
//
//go:nosplit
//go:norace
//go:nocheckptr
func keepStack(h *head, sp uintptr) {
	h.keep[keepStackAt] = span{(sp &^ (stackPage - 1)) - stackPage, (sp &^ (stackPage - 1)) + 2*stackPage}
}

// scrub unmaps everything but the kept spans: the gaps between them, whatever
// lies there. Without it init holds the runner's memory, with every secret in
// it, for the life of the job, and grows with each page the runner writes.
//
//go:nosplit
//go:norace
//go:nocheckptr
func scrub(h *head) syscall.Errno {
	low := uintptr(0)
	for {
		next := span{h.top, h.top}
		for i := range h.keep {
			if k := h.keep[i]; k.hi > low && k.lo < next.lo {
				next = k
			}
		}
		if next.lo > low {
			if _, _, errno := syscall.RawSyscall(unix.SYS_MUNMAP, low, next.lo-low, 0); errno != 0 {
				return errno
			}
		}
		if next.lo >= h.top {
			return 0
		}
		low = next.hi
	}
}

// The indices of head.keep.
const (
	keepImage = iota
	keepArena
	keepStackAt
	keepThread
)

func (a *arena) keepArena() {
	lo := uintptr(unsafe.Pointer(&a.mem[0]))
	a.head().keep[keepArena] = span{lo, lo + uintptr(len(a.mem))}
}
