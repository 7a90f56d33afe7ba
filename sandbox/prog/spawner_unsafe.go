package prog

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spawnHead is the spawner's memory, shared with nobody but by inheritance.
type spawnHead struct {
	sock    int64
	userns  int64 // to enter, or -1
	path    [32]byte
	keyring bool // all children have its session keyring, which is empty
	kept    kept
	clone   cloneArgs
	place   [2]uintptr // address and size of the arena to map
	reply   struct{ pid, errno int32 }
	iov     iovec
	msg     msghdr
	ctrl    [cmsgHead + 4*(maxSlots+1)]byte
	act     [4]uintptr // struct sigaction: SIG_IGN, then SIG_DFL
}

const spawnPages = 1

// The build fails if the head does not fit.
var _ [4096 - unsafe.Sizeof(spawnHead{})]byte

func spawnHeadOf(mem []byte) *spawnHead { return (*spawnHead)(unsafe.Pointer(&mem[0])) }

// place is the request: where the arena lies in this process, and so in the child.
func (a *arena) place() []byte {
	b := make([]byte, 16)
	binary.NativeEndian.PutUint64(b, uint64(uintptr(unsafe.Pointer(&a.mem[0]))))
	binary.NativeEndian.PutUint64(b[8:], uint64(len(a.mem)))
	return b
}

func parseAnswer(b []byte) (pid int, errno unix.Errno, err error) {
	if len(b) != 8 {
		return 0, 0, fmt.Errorf("%w: %d bytes from the spawner", ErrMessage, len(b))
	}
	return int(int32(binary.NativeEndian.Uint32(b))), unix.Errno(binary.NativeEndian.Uint32(b[4:])), nil
}

// rawSpawner forks the spawner. It returns only in this process. The spawner's
// exit signal is 0, as that of every child of ours.
//
//go:nosplit
//go:norace
//go:nocheckptr
//go:noinline
func rawSpawner(h *spawnHead) (pid uintptr, errno syscall.Errno) {
	var mark byte
	keepStack(&h.kept, uintptr(unsafe.Pointer(&mark)))
	keepThreadPointer(&h.kept)
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&h.clone)), unsafe.Sizeof(h.clone), 0, 0, 0, 0)
	if errno == syscall.ENOSYS {
		pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, 0, 0, 0, 0, 0, 0)
	}
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	retire(h)
	for {
		p := receive(h)
		if p == nil {
			continue
		}
		pid, errno = cloneInit(p)
		if pid == 0 && errno == 0 {
			interpret(p) // in the child, on the shallowest stack
		}
		if errno == 0 && p.maps[0][1] != 0 {
			errno = mapChild(h, p, pid)
		}
		answer(h, p, pid, errno)
	}
}

// retire makes a copy of the caller's a spawner: it holds its socket and nothing
// else, and every signal stays blocked as it was for the fork.
//
//go:nosplit
//go:norace
//go:nocheckptr
func retire(h *spawnHead) {
	if h.userns >= 0 {
		if _, _, errno := syscall.RawSyscall6(unix.SYS_SETNS, uintptr(h.userns), unix.CLONE_NEWUSER, 0, 0, 0, 0); errno != 0 {
			exit(1)
		}
	}
	holdOnly(h.sock)
	name := [16]byte{'j', 'a', 'i', 'l', 'r', 'u', 'n', '-', 's', 'p', 'a', 'w', 'n', 'e', 'r'}
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0, 0)
	root := [2]byte{'/'}
	syscall.RawSyscall6(unix.SYS_CHDIR, uintptr(unsafe.Pointer(&root)), 0, 0, 0, 0, 0) // hold no directory of the caller's
	joinKeyring(h)
	h.act[0] = 1 // SIG_IGN: ended children leave no zombies
	syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&h.act)), 0, 8, 0, 0)
	h.act[0] = 0
	if scrub(&h.kept) != 0 {
		exit(1)
	}
}

// joinKeyring gives the spawner, and so its children, an empty session keyring
// that nobody may look into, fill or change. Where that fails each child has to
// get its own.
//
//go:nosplit
//go:norace
//go:nocheckptr
func joinKeyring(h *spawnHead) {
	serial, _, errno := syscall.RawSyscall6(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0, 0)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall6(unix.SYS_KEYCTL, unix.KEYCTL_SETPERM, serial, 0, 0, 0, 0)
	}
	h.keyring = errno == 0
}

// mapChild writes the maps of a child, which waits for the runner's word, or
// ends it.
//
//go:nosplit
//go:norace
//go:nocheckptr
func mapChild(h *spawnHead, p *head, pid uintptr) syscall.Errno {
	if writeMap(h, pid, 'u', &p.maps[0]) && writeMap(h, pid, 'g', &p.maps[1]) {
		return 0
	}
	syscall.RawSyscall6(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(p.pidfd), uintptr(unix.SIGKILL), 0, 0, 0, 0)
	return errMaps
}

// writeMap writes /proc/PID/uid_map, or gid_map if kind is 'g'.
//
//go:nosplit
//go:norace
//go:nocheckptr
func writeMap(h *spawnHead, pid uintptr, kind byte, text *[2]uintptr) bool {
	end := unsafe.Add(unsafe.Pointer(&h.path), len(h.path))
	*(*[9]byte)(unsafe.Add(end, -9)) = [9]byte{'/', kind, 'i', 'd', '_', 'm', 'a', 'p', 0}
	at := unsafe.Add(end, -9)
	for ; pid > 0; pid /= 10 {
		at = unsafe.Add(at, -1)
		*(*byte)(at) = byte('0' + pid%10)
	}
	at = unsafe.Add(at, -6)
	*(*[6]byte)(at) = [6]byte{'/', 'p', 'r', 'o', 'c', '/'}
	atFdcwd := -100
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(atFdcwd), uintptr(at), unix.O_WRONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return false
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_WRITE, fd, text[0], text[1], 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_CLOSE, fd, 0, 0, 0, 0, 0)
	return errno == 0 && n == text[1]
}

// holdOnly closes all that came along by the fork but the socket, which also
// takes the places below firstFree, so that nothing received lands there.
//
//go:nosplit
//go:norace
//go:nocheckptr
func holdOnly(sock int64) {
	for n := range uintptr(firstFree) {
		if _, _, errno := syscall.RawSyscall6(unix.SYS_DUP3, uintptr(sock), n, 0, 0, 0, 0); errno != 0 {
			exit(1)
		}
	}
	closeReceived(sock)
}

// closeReceived really closes every descriptor but the socket and its three
// copies, or ends the process: the end of file on a status pipe of which it kept
// the other end would never come.
//
//go:nosplit
//go:norace
//go:nocheckptr
func closeReceived(fd int64) {
	if fd > firstFree {
		if _, _, errno := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, firstFree, uintptr(fd-1), 0, 0, 0, 0); errno != 0 {
			exit(1)
		}
	}
	if _, _, errno := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, uintptr(fd+1), 1<<31-1, 0, 0, 0, 0); errno != 0 {
		exit(1)
	}
}

// firstFree is the lowest number of a descriptor that a program may be given:
// its job puts the standard streams below.
const firstFree = 3

// receive takes one request, maps its arena and binds its descriptors. It
// returns nil when that failed and has been answered, and ends the spawner
// when its process has ended.
//
// What it receives is close-on-exec: the job must not hold the status pipe,
// whose end of file says that its execve succeeded. A request of which
// descriptors are missing (the spawner's RLIMIT_NOFILE, a security module) is
// refused: what else stands in ctrl is left from an earlier one.
//
//go:nosplit
//go:norace
//go:nocheckptr
func receive(h *spawnHead) *head {
	h.iov = iovec{uintptr(unsafe.Pointer(&h.place)), unsafe.Sizeof(h.place)}
	h.msg = msghdr{
		iov: uintptr(unsafe.Pointer(&h.iov)), iovLen: 1,
		ctrl: uintptr(unsafe.Pointer(&h.ctrl)), ctrlLen: unsafe.Sizeof(h.ctrl),
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMSG, uintptr(h.sock), uintptr(unsafe.Pointer(&h.msg)), unix.MSG_CMSG_CLOEXEC, 0, 0, 0)
	if errno == syscall.EINTR {
		return nil
	}
	if errno != 0 || n != unsafe.Sizeof(h.place) {
		exit(0)
	}
	if h.msg.flags&unix.MSG_CTRUNC != 0 || h.msg.ctrlLen < cmsgHead+4 {
		answer(h, nil, 0, syscall.EBADMSG)
		return nil
	}
	fds := (*[maxSlots + 1]int32)(unsafe.Pointer(&h.ctrl[cmsgHead]))
	_, _, errno = syscall.RawSyscall6(unix.SYS_MMAP, h.place[0], h.place[1], unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_FIXED_NOREPLACE, uintptr(fds[0]), 0)
	if errno != 0 {
		answer(h, nil, 0, errno)
		return nil
	}
	p := (*head)(unsafe.Add(nil, h.place[0]))
	if *(*uint64)(unsafe.Pointer(&h.ctrl)) != cmsgHead+4*(uint64(p.nBound)+1) {
		answer(h, p, 0, syscall.EBADMSG)
		return nil
	}
	bind(h, p, fds)
	return p
}

// bind gives the slots of a program the received descriptors.
//
//go:nosplit
//go:norace
//go:nocheckptr
func bind(h *spawnHead, p *head, fds *[maxSlots + 1]int32) {
	bindSlots(p, unsafe.Pointer(&fds[1]))
	p.child = uintptr(unsafe.Pointer(&h.act))
	p.keyring = h.keyring
}

// bindSlots gives each slot that the runner has named its descriptor.
//
//go:nosplit
//go:norace
//go:nocheckptr
func bindSlots(p *head, fds unsafe.Pointer) {
	for i := uintptr(0); i < uintptr(p.nBound) && i < maxSlots; i++ {
		slot := uintptr(*(*uint8)(unsafe.Add(unsafe.Pointer(&p.bound), i))) % maxSlots
		fd := *(*int32)(unsafe.Add(fds, 4*i))
		*(*int64)(unsafe.Add(unsafe.Pointer(&p.slot), 8*slot)) = int64(fd)
	}
}

// answer sends what became of a request, with the pidfd if there is one, and
// lets go of what came with it.
//
//go:nosplit
//go:norace
//go:nocheckptr
func answer(h *spawnHead, p *head, pid uintptr, errno syscall.Errno) {
	h.reply.pid, h.reply.errno = int32(pid), int32(errno)
	h.iov = iovec{uintptr(unsafe.Pointer(&h.reply)), unsafe.Sizeof(h.reply)}
	h.msg = msghdr{iov: uintptr(unsafe.Pointer(&h.iov)), iovLen: 1}
	if errno == 0 {
		*(*uint64)(unsafe.Pointer(&h.ctrl[0])) = cmsgHead + 4
		*(*[2]int32)(unsafe.Pointer(&h.ctrl[8])) = [2]int32{unix.SOL_SOCKET, unix.SCM_RIGHTS}
		*(*int32)(unsafe.Pointer(&h.ctrl[cmsgHead])) = p.pidfd
		h.msg.ctrl, h.msg.ctrlLen = uintptr(unsafe.Pointer(&h.ctrl)), cmsgHead+4
	}
	if p != nil {
		syscall.RawSyscall6(unix.SYS_MUNMAP, h.place[0], h.place[1], 0, 0, 0, 0)
	}
	if _, _, errno := syscall.RawSyscall6(unix.SYS_SENDMSG, uintptr(h.sock), uintptr(unsafe.Pointer(&h.msg)), unix.MSG_NOSIGNAL, 0, 0, 0); errno != 0 {
		exit(1) // the caller would wait for ever; so it meets an end of file
	}
	closeReceived(h.sock)
}
