package prog

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The runtime's own brackets around a fork: they block signals in this thread
// and make any growth of the stack fatal. gVisor depends on them, too.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// iscgo says whether the C library is in use. All threads are its own then.
//
//go:linkname iscgo runtime.iscgo
var iscgo bool

func forkProgram(h *head) (pid int, err error) {
	awayFromLoader(func() { pid, err = launchHere(h) })
	return pid, err
}

func forkSpawner(h *spawnHead) (pid int, err error) {
	awayFromLoader(func() { pid, err = spawnHere(h) })
	return pid, err
}

// awayFromLoader calls f in a thread of which the kernel expects no struct rseq
// (rseq(2)): it kills a process that has given up that memory. A dynamic loader
// registers one for the main thread, also of a program without the C library (a
// position-independent one), and nothing says where.
func awayFromLoader(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if img, err := image(); err != nil || !img.loaded || unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// launchHere and spawnHere bracket a raw fork. Between beforeFork and
// afterFork only nosplit functions may be called: the runtime makes any growth
// of the stack fatal there.

func launchHere(h *head) (int, error) {
	runtime.LockOSThread()
	syscall.ForkLock.Lock() // no descriptor of an os/exec in progress comes along
	beforeFork()
	pid, errno := rawLaunch(h)
	afterFork()
	syscall.ForkLock.Unlock()
	runtime.UnlockOSThread()
	return cloned(pid, errno)
}

func spawnHere(h *spawnHead) (int, error) {
	runtime.LockOSThread()
	syscall.ForkLock.Lock()
	beforeFork()
	pid, errno := rawSpawner(h)
	afterFork()
	syscall.ForkLock.Unlock()
	runtime.UnlockOSThread()
	return cloned(pid, errno)
}

func cloned(pid uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, os.NewSyscallError("clone3", errno)
	}
	return int(pid), nil
}

func (h *head) pidfdAddress() uint64 { return uint64(uintptr(unsafe.Pointer(&h.pidfd))) }

// heapAround is the part of the Go heap in which p lies: the runtime maps it in
// aligned pieces of 64 MiB.
func heapAround(p unsafe.Pointer) span {
	const piece = 64 << 20
	lo := uintptr(p) &^ (piece - 1)
	return span{lo, lo + piece}
}

// findImage reads the program headers of this process out of its memory.
//
//go:nocheckptr
func findImage() (imageInfo, error) {
	var phdr, phnum, loader, execfn uintptr
	aux, err := unix.Auxv()
	if err != nil {
		return imageInfo{}, err
	}
	for _, kv := range aux {
		switch kv[0] {
		case 3: // AT_PHDR
			phdr = kv[1]
		case 5: // AT_PHNUM
			phnum = kv[1]
		case 7: // AT_BASE
			loader = kv[1]
		case 31: // AT_EXECFN, the highest thing on the first thread's stack
			execfn = kv[1]
		}
	}
	if phdr == 0 || execfn == 0 {
		return imageInfo{}, errBuildMode
	}
	type header struct { // Elf64_Phdr
		kind, flags                                 uint32
		offset, vaddr, paddr, filesz, memsz, align_ uint64
	}
	const ptLoad, ptPhdr, pfWrite = 1, 6, 2
	s := span{lo: ^uintptr(0)}
	data := s
	var bias uintptr
	// The kernel gave the address; it lies outside the Go heap.
	for _, p := range unsafe.Slice((*header)(unsafe.Add(nil, phdr)), phnum) {
		switch p.kind {
		case ptPhdr:
			bias = phdr - uintptr(p.vaddr)
		case ptLoad:
			s.lo = min(s.lo, uintptr(p.vaddr))
			s.hi = max(s.hi, uintptr(p.vaddr+p.memsz))
			if p.flags&pfWrite != 0 {
				data = span{min(data.lo, uintptr(p.vaddr)), uintptr(p.vaddr + p.memsz)}
			}
		}
	}
	s, data = s.pages(bias), data.pages(bias)
	f := interpret
	if pc := **(**uintptr)(unsafe.Pointer(&f)); pc < s.lo || pc >= s.hi {
		return imageInfo{}, errBuildMode
	}
	page := uintptr(os.Getpagesize())
	// The kernel puts the name at the very end of the stack, with a null pointer
	// above. Not a page more: Linux 6.1 has the vDSO above the stack, at random,
	// one time in a hundred right above it, and a special mapping cannot be cut
	// (EINVAL).
	end := execfn + unsafe.Sizeof(execfn) + 1
	for *(*byte)(unsafe.Add(nil, end-1-unsafe.Sizeof(execfn))) != 0 {
		end++
	}
	return imageInfo{span: s, data: data, top: (end + page - 1) &^ (page - 1), libc: iscgo, loaded: loader != 0 && !iscgo}, nil
}

// pages is the whole pages around what lies that much higher.
func (s span) pages(higher uintptr) span {
	page := uintptr(os.Getpagesize())
	return span{(s.lo + higher) &^ (page - 1), (s.hi + higher + page - 1) &^ (page - 1)}
}
