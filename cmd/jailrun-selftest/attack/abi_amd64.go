package attack

import (
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const lookupDcookie = unix.SYS_LOOKUP_DCOOKIE

// int80 makes a call of i386 with up to two arguments.
func int80(number, a, b uintptr) uintptr

// rdpmc reads the processor's first event counter.
func rdpmc()

func readCounter() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = unix.EPERM
		}
	}()
	rdpmc()
	return nil
}

// abiAttacks make calls through the processor's other doors, where numbers and
// argument sizes differ and a filter made for one is passed by the other.
func abiAttacks() []Attack {
	answer := func(number, a, b uintptr) error {
		// socketcall(SYS_SOCKET, NULL) cannot work. User Mode Linux takes whatever
		// comes by this door for a call of the processor's own ABI, and so does its
		// filter: 102 is getuid there, and it has no call of i386's.
		if int(int32(int80(102, 1, 0))) == os.Getuid() {
			return unix.ENOSYS
		}
		r := int32(int80(number, a, b))
		if r < 0 {
			return unix.Errno(-r)
		}
		return nil
	}
	absent := []unix.Errno{unix.ENOSYS}
	return []Attack{
		{Row: "A36", Name: "i386-getpid", Try: func() error { return answer(20, 0, 0) }, Control: Outside, Absent: absent},
		{Row: "A36", Name: "i386-unshare", Try: func() error { return answer(310, unix.CLONE_NEWUTS, 0) }, Control: Namespace, Absent: absent},
		{Row: "A36", Name: "i386-socketcall", Try: func() error { return answer(102, 1, 0) }, Control: Outside, Reached: []unix.Errno{unix.EFAULT}, Absent: absent},
		// unshare by its own number, which is fadvise64_64 for i386: a door at which
		// numbers are taken for the processor's own must meet the same filter.
		{Row: "A36", Name: "i386-door-unshare", Try: func() error {
			if r := int32(int80(unix.SYS_UNSHARE, unix.CLONE_NEWUTS, 0)); r < 0 {
				return unix.Errno(-r)
			}
			return nil
		}, Control: Namespace, Reached: []unix.Errno{unix.EBADF}, Absent: absent},
		{Row: "A36", Name: "x32-getpid", Try: func() error {
			pid, _, errno := unix.Syscall(0x40000000|unix.SYS_GETPID, 0, 0, 0)
			if errno == 0 && int(pid) == os.Getpid() {
				return nil
			}
			return unix.ENOSYS
		}, Control: Outside, Absent: absent},
		{Row: "A42", Name: "processor-counters", Try: readCounter, Why: "the kernel opens them to a process that has mapped an event of perf_event_open, see there", Twice: true},
		{Row: "A28", Name: "iopl", Try: call(unix.SYS_IOPL, 3), Why: "needs CAP_SYS_RAWIO of the host"},
		{Row: "A28", Name: "ioperm", Try: call(unix.SYS_IOPERM, 0x70, 2, 1), Why: "needs CAP_SYS_RAWIO of the host"},
		{Row: "A28", Name: "modify-ldt", Try: call(unix.SYS_MODIFY_LDT, 1, 0, 0), Control: Outside, Reached: []unix.Errno{unix.EINVAL}, Absent: absent},
	}
}
