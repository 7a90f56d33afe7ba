package attack

import (
	"os"

	"golang.org/x/sys/unix"
)

const lookupDcookie = unix.SYS_LOOKUP_DCOOKIE

// int80 makes a call of i386 with up to two arguments.
func int80(number, a, b uintptr) uintptr

// abiAttacks make calls through the processor's other doors, where numbers and
// argument sizes differ and a filter made for one is passed by the other.
func abiAttacks() []Attack {
	answer := func(number, a, b uintptr) error {
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
		{Row: "A36", Name: "x32-getpid", Try: func() error {
			pid, _, errno := unix.Syscall(0x40000000|unix.SYS_GETPID, 0, 0, 0)
			if errno == 0 && int(pid) == os.Getpid() {
				return nil
			}
			return unix.ENOSYS
		}, Control: Outside, Absent: absent},
		{Row: "A28", Name: "iopl", Try: call(unix.SYS_IOPL, 3), Why: "needs CAP_SYS_RAWIO of the host"},
		{Row: "A28", Name: "ioperm", Try: call(unix.SYS_IOPERM, 0x70, 2, 1), Why: "needs CAP_SYS_RAWIO of the host"},
		{Row: "A28", Name: "modify-ldt", Try: call(unix.SYS_MODIFY_LDT, 1, 0, 0), Control: Outside, Reached: []unix.Errno{unix.EINVAL}, Absent: absent},
	}
}
