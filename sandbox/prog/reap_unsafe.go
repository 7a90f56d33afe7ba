package prog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reaper is the memory of init's loop. It lies in the arena because the stack
// of a nosplit chain is small.
type reaper struct {
	poll [2]struct {
		fd              int32
		events, revents int16
	}
	order [2]int32 // pid, signal
	info  [128]byte
	wait  int32
	_     int32
	usage unix.Rusage
	exit  struct {
		kind   uint32
		status uint32
		ended  int64
		main   unix.Rusage
		all    unix.Rusage
	}
	ended bool
}

const (
	wall   = 0x40000000 // __WALL: children of any clone flags
	pollIn = 1
)

// reap is init's life after the fork of the job: it reaps every process of the
// sandbox, sends the signals that the runner orders, and reports when the main
// process has ended. It ends the process when the runner is gone.
//
//go:nosplit
//go:norace
//go:nocheckptr
func reap(h *head) {
	l := &h.loop
	l.poll[0].fd, l.poll[0].events = int32(h.slot[SlotCtl]), pollIn
	l.poll[1].fd, l.poll[1].events = int32(h.slot[SlotSignals]), pollIn
	for {
		l.poll[0].revents, l.poll[1].revents = 0, 0
		_, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.poll)), 2, 0, 0, 0, 0)
		if errno != 0 && errno != syscall.EINTR {
			exit(1)
		}
		if l.poll[0].revents != 0 {
			obey(h)
		}
		if l.poll[1].revents != 0 {
			syscall.RawSyscall6(unix.SYS_READ, uintptr(h.slot[SlotSignals]), uintptr(unsafe.Pointer(&l.info)), unsafe.Sizeof(l.info), 0, 0, 0)
			collect(h, unix.WNOHANG)
			if l.ended {
				// What the main process left behind goes with it. A process
				// that will not die keeps init here; the runner has its own
				// clock and the pidfd of init.
				syscall.RawSyscall6(unix.SYS_KILL, ^uintptr(0), uintptr(unix.SIGKILL), 0, 0, 0, 0)
				collect(h, 0)
				report(h)
			}
		}
	}
}

// obey carries out one order of the runner; the end of file is the runner's end.
//
//go:nosplit
//go:norace
//go:nocheckptr
func obey(h *head) {
	l := &h.loop
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(h.slot[SlotCtl]), uintptr(unsafe.Pointer(&l.order)), 8, unix.MSG_DONTWAIT, 0, 0)
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return
	}
	if errno != 0 || n != 8 {
		exit(1)
	}
	if l.order[0] != 0 { // kill(0, …) would reach init itself
		syscall.RawSyscall6(unix.SYS_KILL, uintptr(l.order[0]), uintptr(l.order[1]), 0, 0, 0, 0)
	}
}

// collect reaps what has ended, or with flags 0 waits for all to end.
//
//go:nosplit
//go:norace
//go:nocheckptr
func collect(h *head, flags uintptr) {
	l := &h.loop
	for {
		pid, _, errno := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&l.wait)), flags|wall, uintptr(unsafe.Pointer(&l.usage)), 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 || pid == 0 {
			return
		}
		if int64(pid) == h.slot[SlotMain] {
			l.exit.status = uint32(l.wait)
			l.exit.main = l.usage
			stamp(&l.exit.ended) // last: the runner reads it, see Ended
			l.ended = true
		}
	}
}

// report tells the runner how the job ended, when all are dead, and ends init.
//
//go:nosplit
//go:norace
//go:nocheckptr
func report(h *head) {
	l := &h.loop
	syscall.RawSyscall6(unix.SYS_GETRUSAGE, ^uintptr(0), uintptr(unsafe.Pointer(&l.exit.all)), 0, 0, 0, 0) // RUSAGE_CHILDREN
	l.exit.kind = kindExit
	syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(h.slot[SlotCtl]), uintptr(unsafe.Pointer(&l.exit)), exitSize, unix.MSG_NOSIGNAL, 0, 0)
	exit(0)
}
