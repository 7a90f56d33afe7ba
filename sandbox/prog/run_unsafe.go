package prog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Everything in this file runs in the forked child: nothing here may allocate,
// grow the stack, take a lock, or call what does. Nothing may be instrumented
// by the race detector, whose memory init unmaps. Locals are few, because all
// frames together must fit the runtime's limit for nosplit chains.

// rawLaunch forks init. It returns only in the runner.
//
//go:nosplit
//go:norace
//go:nocheckptr
//go:noinline
func rawLaunch(h *head) (pid uintptr, errno syscall.Errno) {
	pid, errno = cloneInit(h)
	if pid == 0 && errno == 0 {
		interpret(h)
	}
	return pid, errno
}

// cloneInit clones init and returns in both processes, with pid 0 in init.
//
//go:nosplit
//go:norace
//go:nocheckptr
func cloneInit(h *head) (pid uintptr, errno syscall.Errno) {
	var mark byte
	keepStack(&h.kept, uintptr(unsafe.Pointer(&mark)))
	keepThreadPointer(&h.kept)
	if h.slot[SlotInitGroup] >= 0 {
		h.cloneInit.cgroup = uint64(h.slot[SlotInitGroup])
		h.cloneInit.flags |= unix.CLONE_INTO_CGROUP
	}
	withhold(&h.kept, unix.MADV_DONTFORK)
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&h.cloneInit)), unsafe.Sizeof(h.cloneInit), 0, 0, 0, 0)
	if errno == syscall.ENOSYS && h.slot[SlotInitGroup] < 0 {
		// An outer filter may refuse clone3, whose flags it cannot read.
		// The third argument is where CLONE_PIDFD stores the descriptor.
		pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(h.cloneInit.flags|h.cloneInit.exitSignal), 0, uintptr(h.cloneInit.pidfd), 0, 0, 0)
	}
	if pid != 0 || errno != 0 {
		withhold(&h.kept, unix.MADV_DOFORK)
		return pid, errno
	}
	if h.child != 0 { // a spawner ignores SIGCHLD, init must not, or it would never see the job's end
		if _, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), h.child, 0, 8, 0, 0); errno != 0 {
			exit(1)
		}
	}
	return pid, errno
}

// cloneJob forks the job and returns in both processes, with pid 0 in the job.
//
//go:nosplit
//go:norace
//go:nocheckptr
func cloneJob(h *head) (pid uintptr, errno syscall.Errno) {
	if h.slot[SlotJobGroup] >= 0 {
		h.cloneJob.cgroup = uint64(h.slot[SlotJobGroup])
		h.cloneJob.flags |= unix.CLONE_INTO_CGROUP
	}
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&h.cloneJob)), unsafe.Sizeof(h.cloneJob), 0, 0, 0, 0)
	if errno == syscall.ENOSYS && h.slot[SlotJobGroup] < 0 {
		pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	}
	return pid, errno
}

// interpret walks over init's list and, from the fork of the job on and in the
// job's process, over the job's list. It does not return.
//
//go:nosplit
//go:norace
//go:nocheckptr
func interpret(h *head) {
	var (
		c      = h.calls
		n      = h.nInit
		inJob  uint8
		stage  = uint8(nStages)
		denied syscall.Errno // an earlier execve candidate that exists but may not run
	)
	if h.nFirst != 0 {
		c, n = h.first, h.nFirst
	}
	for ; n > 0; n, c = n-1, (*call)(unsafe.Add(unsafe.Pointer(c), unsafe.Sizeof(call{}))) {
		var r uintptr
		var errno syscall.Errno
		if c.stage != stage {
			stage = c.stage
			mark(h, inJob, stage)
		}
		if c.inherit && h.keyring {
			continue
		}
		switch c.nr {
		case opStamp:
			stamp((*int64)(unsafe.Add(unsafe.Pointer(&h.stamp), c.arg[0]*8)))
		case opKeepOnly:
			errno = keepOnly(h, uint64(c.arg[0]))
		case opSendFds:
			errno = sendFds(h, kindReady, uint64(c.arg[0]))
		case opSendListener:
			errno = sendFds(h, kindListener, uint64(c.arg[0]))
		case opReceiveFds:
			errno = receiveFds(h, uint64(c.arg[0]))
		case opScrub:
			errno = scrub(&h.kept)
		case opReap:
			reap(h)
		case opAwait:
			await(h, c)
			c = (*call)(unsafe.Add(unsafe.Pointer(h.late), -int(unsafe.Sizeof(call{}))))
			n = h.nLate + 1
			continue
		case opProgram:
			awaitProgram(h)
			c = (*call)(unsafe.Add(unsafe.Pointer(h.calls), -int(unsafe.Sizeof(call{}))))
			n, stage = h.nInit+1, uint8(nStages)
			continue
		case opServe:
			serve(h, (*desk)(unsafe.Add(unsafe.Pointer(h), c.arg[0]-uintptr(unsafe.Pointer(h)))))
		case opExit:
			exit(0)
		case opFork:
			r, errno = cloneJob(h)
			if errno == 0 && r == 0 {
				inJob = 1
				c = (*call)(unsafe.Add(unsafe.Pointer(h.calls), uintptr(h.nInit-1)*unsafe.Sizeof(call{})))
				n = h.nJob + 1
				continue
			}
			h.slot[SlotMain] = int64(r)
		default:
			r, errno = perform(h, c)
		}
		if errno != 0 {
			if c.search && (errno == syscall.ENOENT || errno == syscall.ENOTDIR || errno == syscall.EACCES) {
				if errno == syscall.EACCES {
					denied = errno
				}
				continue
			}
			if ignored(c, errno) {
				continue
			}
			if errno == syscall.ENOENT && denied != 0 {
				errno = denied
			}
			fail(h, c, inJob, errno)
		}
		if c.want >= 0 && int64(r) != c.want {
			fail(h, c, inJob, syscall.EIO)
		}
		if c.save != 0 {
			*(*int64)(unsafe.Add(unsafe.Pointer(&h.slot), uintptr(c.save-1)*8)) = int64(r)
		}
	}
	exit(1)
}

//go:nosplit
//go:norace
//go:nocheckptr
func ignored(c *call, errno syscall.Errno) bool {
	e := uint16(errno)
	return e == c.ignore[0] || e == c.ignore[1] || e == c.ignore[2]
}

// await waits for a byte from the runner. Its end of file ends the job.
//
//go:nosplit
//go:norace
//go:nocheckptr
func await(h *head, c *call) {
	var b byte
	from := *(*int64)(unsafe.Add(unsafe.Pointer(&h.slot), c.arg[0]*8))
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_READ, uintptr(from), uintptr(unsafe.Pointer(&b)), 1, 0, 0, 0)
		if n == 1 && errno == 0 {
			return
		}
		if errno != syscall.EINTR {
			exit(1)
		}
	}
}

// perform makes the system call of c, as often as its loop says.
//
//go:nosplit
//go:norace
//go:nocheckptr
func perform(h *head, c *call) (r uintptr, errno syscall.Errno) {
	step := uintptr(0)
	for {
		r, _, errno = syscall.RawSyscall6(c.nr, value(h, c, 0, step), value(h, c, 1, step), value(h, c, 2, step),
			value(h, c, 3, step), value(h, c, 4, step), value(h, c, 5, step))
		if c.loopArg < 0 || step >= c.loops || errno != 0 && !ignored(c, errno) {
			return r, errno
		}
		step++
	}
}

// value is argument i of c in round step of its loop.
//
//go:nosplit
//go:norace
//go:nocheckptr
func value(h *head, c *call, i int8, step uintptr) uintptr {
	v := *(*uintptr)(unsafe.Add(unsafe.Pointer(&c.arg), uintptr(i)*ptrSize))
	if c.slots&(1<<uint8(i)) != 0 {
		return uintptr(*(*int64)(unsafe.Add(unsafe.Pointer(&h.slot), v*8)))
	}
	if i == c.loopArg {
		return v + step
	}
	return v
}

// fail sends the failure and ends the process. When init fails after the
// fork, its end takes the job with it.
//
//go:nosplit
//go:norace
//go:nocheckptr
func fail(h *head, c *call, inJob uint8, errno syscall.Errno) {
	m := struct {
		kind         uint32
		inJob, stage uint8
		_            uint16
		index, errno uint32
	}{kind: kindFailure, inJob: inJob, stage: c.stage, index: c.index, errno: uint32(errno)}
	syscall.RawSyscall6(unix.SYS_WRITE, uintptr(h.slot[SlotStatus]), uintptr(unsafe.Pointer(&m)), failureSize, 0, 0, 0)
	exit(1)
}

//go:nosplit
//go:norace
//go:nocheckptr
func exit(code uintptr) {
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, code, 0, 0, 0, 0, 0)
	}
}

//go:nosplit
//go:norace
//go:nocheckptr
func stamp(to *int64) {
	var ts [2]int64
	syscall.RawSyscall6(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ts)), 0, 0, 0, 0)
	*to = ts[0]*1e9 + ts[1]
}

// mark notes that the process enters a stage.
//
//go:nosplit
//go:norace
//go:nocheckptr
func mark(h *head, inJob, stage uint8) {
	t := &h.trail[0]
	if inJob != 0 {
		t = &h.trail[1]
	}
	if n := uintptr(t.n); n < maxMarks {
		*(*uint8)(unsafe.Add(unsafe.Pointer(&t.stage), n)) = stage
		stamp((*int64)(unsafe.Add(unsafe.Pointer(&t.at), 8*n)))
		t.n++
	}
}
