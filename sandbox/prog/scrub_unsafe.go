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
func keepStack(k *kept, sp uintptr) {
	k.keep[keepStackAt] = span{(sp &^ (stackPage - 1)) - stackPage, (sp &^ (stackPage - 1)) + 2*stackPage}
}

// scrub unmaps everything but the kept spans: the gaps between them, whatever
// lies there. Without it init holds the runner's memory, with every secret in
// it, for the life of the job, and grows with each page the runner writes.
//
//go:nosplit
//go:norace
//go:nocheckptr
func scrub(k *kept) syscall.Errno {
	low := uintptr(0)
	for {
		next := span{k.top, k.top}
		for i := range k.keep {
			if s := k.keep[i]; s.hi > low && s.lo < next.lo {
				next = s
			}
		}
		if next.lo > low {
			if _, _, errno := syscall.RawSyscall6(unix.SYS_MUNMAP, low, next.lo-low, 0, 0, 0, 0); errno != 0 {
				return errno
			}
		}
		if next.lo >= k.top {
			return 0
		}
		low = next.hi
	}
}

// keepThreadPointer keeps the pages around the thread pointer, where the C library
// has registered a struct rseq (glibc 2.35): the registration survives the fork,
// and the kernel kills a process whose rseq area it cannot write (rseq(2)).
//
//go:nosplit
//go:norace
//go:nocheckptr
func keepThreadPointer(k *kept) {
	if k.libc {
		tp := threadPointer() &^ (stackPage - 1)
		k.keep[keepThread] = span{tp - 4*stackPage, tp + 4*stackPage}
	}
}

// withhold keeps what is in omit, but for the stack, out of the next fork, and
// with MADV_DOFORK lets it in again. Init has no use for it, and the runner would
// have to copy each page of it that it writes from then on, interrupting the
// other CPUs for each. A spawner has none.
//
//go:nosplit
//go:norace
//go:nocheckptr
func withhold(k *kept, advice uintptr) {
	for i := range k.omit {
		lo, hi := k.omit[i].lo, k.omit[i].hi
		if s := &k.keep[keepStackAt]; s.lo < hi && s.hi > lo {
			if s.lo > lo {
				syscall.RawSyscall6(unix.SYS_MADVISE, lo, s.lo-lo, advice, 0, 0, 0)
			}
			lo = s.hi
		}
		if lo < hi {
			syscall.RawSyscall6(unix.SYS_MADVISE, lo, hi-lo, advice, 0, 0, 0)
		}
	}
}

// The indices of kept.keep.
const (
	keepImage = iota
	keepArena
	keepStackAt
	keepThread
)

// image fills in what is known before the fork: the program itself and the
// memory shared with the child.
func (k *kept) image(img imageInfo, mem []byte) {
	lo := uintptr(unsafe.Pointer(&mem[0]))
	k.keep[keepImage], k.keep[keepArena], k.top = img.span, span{lo, lo + uintptr(len(mem))}, img.top
	k.libc = img.libc
}
