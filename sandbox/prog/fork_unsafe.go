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

// fork clones init with the namespaces of flags and a pidfd. The exit signal
// is 0: a program that waits for its own children does not meet ours
// (clone(2), __WCLONE), and gets no SIGCHLD.
func fork(h *head, flags uint64) (int, error) {
	h.cloneInit = cloneArgs{flags: flags | unix.CLONE_PIDFD, pidfd: uint64(uintptr(unsafe.Pointer(&h.pidfd)))}
	runtime.LockOSThread()
	syscall.ForkLock.Lock() // no descriptor of an os/exec in progress comes along
	beforeFork()
	pid, errno := rawLaunch(h)
	afterFork()
	syscall.ForkLock.Unlock()
	runtime.UnlockOSThread()
	if errno != 0 {
		return 0, os.NewSyscallError("clone3", errno)
	}
	return int(pid), nil
}

// findImage reads the program headers of this process out of its memory.
//
//go:nocheckptr
func findImage() (imageInfo, error) {
	var phdr, phnum, execfn uintptr
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
	const ptLoad, ptPhdr = 1, 6
	s := span{lo: ^uintptr(0)}
	var bias uintptr
	// The kernel gave the address; it lies outside the Go heap.
	for _, p := range unsafe.Slice((*header)(unsafe.Add(nil, phdr)), phnum) {
		switch p.kind {
		case ptPhdr:
			bias = phdr - uintptr(p.vaddr)
		case ptLoad:
			s.lo = min(s.lo, uintptr(p.vaddr))
			s.hi = max(s.hi, uintptr(p.vaddr+p.memsz))
		}
	}
	page := uintptr(os.Getpagesize())
	s.lo, s.hi = (s.lo+bias)&^(page-1), (s.hi+bias+page-1)&^(page-1)
	f := interpret
	if pc := **(**uintptr)(unsafe.Pointer(&f)); pc < s.lo || pc >= s.hi {
		return imageInfo{}, errBuildMode
	}
	// The string at execfn may be as long as a path; nothing of ours lies above.
	return imageInfo{span: s, top: (execfn + unix.PathMax + page - 1) &^ (page - 1)}, nil
}
