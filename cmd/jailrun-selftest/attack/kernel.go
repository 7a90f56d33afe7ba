package attack

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const all = ^uintptr(0)

// kernelAttacks are calls that a job has no business with, by number.
func kernelAttacks() []Attack {
	const needsRoot = "needs root of the host"
	bad := []unix.Errno{unix.EINVAL, unix.EFAULT, unix.E2BIG}
	list := []Attack{
		{
			Row: "A27", Name: "io-uring-setup", Try: rawFD(unix.SYS_IO_URING_SETUP, 8, words(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), Control: Outside,
			Absent: []unix.Errno{unix.ENOSYS, unix.EPERM}, Reached: []unix.Errno{unix.ENOMEM},
		},
		{Row: "A27", Name: "io-uring-enter", Try: call(unix.SYS_IO_URING_ENTER, all), Control: Outside, Reached: []unix.Errno{unix.EBADF}, Absent: []unix.Errno{unix.ENOSYS}},
		{Row: "A27", Name: "io-uring-register", Try: call(unix.SYS_IO_URING_REGISTER, all), Control: Outside, Reached: append([]unix.Errno{unix.EBADF}, bad...), Absent: []unix.Errno{unix.ENOSYS}},

		{Name: "bpf", Try: call(unix.SYS_BPF, all, 0, 0), Control: Outside, Reached: bad, Absent: []unix.Errno{unix.EPERM, unix.ENOSYS}},
		{Name: "bpf-map", Try: rawFD(unix.SYS_BPF, 0, words(4<<32|2, 1<<32|4), 72), Control: Outside, Reached: bad, Absent: []unix.Errno{unix.EPERM, unix.ENOSYS}},
		{Name: "perf-event-open", Try: call(unix.SYS_PERF_EVENT_OPEN, 0, 0, all, all, 0), Control: Outside, Reached: bad, Absent: []unix.Errno{unix.ENOSYS}},
		{Name: "userfaultfd", Try: rawFD(unix.SYS_USERFAULTFD, 1), Control: Outside, Absent: []unix.Errno{unix.ENOSYS, unix.EPERM}},
		{Name: "fanotify-init", Try: rawFD(unix.SYS_FANOTIFY_INIT, 0x200 /* FAN_REPORT_FID */, 0), Control: Outside, Absent: []unix.Errno{unix.ENOSYS, unix.EPERM}},
		{Name: "lookup-dcookie", Try: call(lookupDcookie, 1, address(""), 10), Why: needsRoot},
		{Name: "quotactl", Try: call(unix.SYS_QUOTACTL, all, 0, 0, 0), Control: Outside, Reached: []unix.Errno{unix.EINVAL, unix.ENODEV, unix.ENOTBLK, unix.EFAULT}, Absent: []unix.Errno{unix.ENOSYS}},
		{Name: "acct", Try: call(unix.SYS_ACCT, 0), Why: needsRoot},
		{Name: "swapon", Try: call(unix.SYS_SWAPON, address("/tmp"), 0), Why: needsRoot},
		{Name: "swapoff", Try: call(unix.SYS_SWAPOFF, address("/none")), Why: needsRoot},
		{Name: "reboot", Try: call(unix.SYS_REBOOT, 0, 0, 0, 0), Why: needsRoot}, // without the magic numbers
		{Name: "kexec-load", Try: call(unix.SYS_KEXEC_LOAD, 0, 1, 0, all), Why: needsRoot},
		{Name: "kexec-file-load", Try: call(unix.SYS_KEXEC_FILE_LOAD, all, all), Why: needsRoot},
		{Name: "init-module", Try: call(unix.SYS_INIT_MODULE, 0, 0, 0), Why: needsRoot},
		{Name: "finit-module", Try: call(unix.SYS_FINIT_MODULE, all), Why: needsRoot},
		{Name: "delete-module", Try: call(unix.SYS_DELETE_MODULE, address("none"), 0), Why: needsRoot},
		{Name: "syslog", Try: call(unix.SYS_SYSLOG, 9), Control: Outside, Absent: []unix.Errno{unix.EPERM}},
		{Name: "vhangup", Try: call(unix.SYS_VHANGUP), Why: needsRoot},
		{Name: "cachestat", Try: call(sysCachestat, all), Control: Outside, Reached: append([]unix.Errno{unix.EBADF}, bad...), Absent: []unix.Errno{unix.ENOSYS}},
		{Name: "sched-setattr", Try: call(unix.SYS_SCHED_SETATTR, 0, 0, 0), Control: Outside, Reached: bad},
		{Name: "mbind", Try: call(unix.SYS_MBIND, 0, 0, 99), Control: Outside, Reached: bad, Absent: []unix.Errno{unix.ENOSYS}},
		{Name: "move-pages", Try: call(unix.SYS_MOVE_PAGES, 0, 0, 0, 0, 0, 99), Control: Outside, Reached: bad, Absent: []unix.Errno{unix.ENOSYS}},
		{Name: "vmsplice", Try: call(unix.SYS_VMSPLICE, all), Control: Outside, Reached: []unix.Errno{unix.EBADF}},
		{Name: "tee", Try: call(unix.SYS_TEE, all, all, 1), Control: Outside, Reached: []unix.Errno{unix.EBADF}},

		{Row: "A33", Name: "add-key", Try: addKey, Control: Outside},
		{Row: "A33", Name: "keyctl-session", Try: call(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2)), Control: Outside, Reached: []unix.Errno{unix.ENOKEY}},
		{Row: "A33", Name: "keyctl-join", Try: call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0), Control: Outside},
		{Row: "A33", Name: "keyctl-persistent", Try: call(unix.SYS_KEYCTL, unix.KEYCTL_GET_PERSISTENT, all, ^uintptr(2)), Control: Outside, Absent: []unix.Errno{unix.EOPNOTSUPP}},
		{Row: "A33", Name: "request-key", Try: call(unix.SYS_REQUEST_KEY, address("user"), address("jailrun-selftest"), 0, 0), Control: Outside, Reached: []unix.Errno{unix.ENOKEY}},

		{Row: "A37", Name: "widen-filter", Try: widen, Control: Outside, Reached: []unix.Errno{unix.EBADF}},
		{Row: "A37", Name: "strict-mode-off", Try: call(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, 0), Why: "the kernel has no such way"},
		{Row: "A38", Name: "personality-no-randomize-mmap-page-zero", Try: call(unix.SYS_PERSONALITY, 0x140000), Control: Outside},
		{Row: "A38", Name: "personality-read-implies-exec", Try: call(unix.SYS_PERSONALITY, 0x400000), Control: Outside},
		{Row: "A38", Name: "personality-svr4", Try: call(unix.SYS_PERSONALITY, 1), Control: Outside},
		{Row: "A39", Name: "prctl-mm", Try: call(unix.SYS_PRCTL, unix.PR_SET_MM, unix.PR_SET_MM_BRK, 0), Why: "needs CAP_SYS_RESOURCE of the host", Twice: true},
		{Row: "A39", Name: "prctl-no-new-privs-off", Try: call(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 0), Why: "the kernel has no such way", Twice: true},
		{Row: "A39", Name: "prctl-securebits", Try: call(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, 0), Control: Namespace, Twice: true},
		{Row: "A39", Name: "prctl-ambient", Try: ambient, Control: Namespace, Twice: true},
		{Row: "A43", Name: "memfd-secret", Try: rawFD(unix.SYS_MEMFD_SECRET), Control: Outside, Absent: []unix.Errno{unix.ENOSYS}},

		{Row: "A85", Name: "clock-settime", Try: call(unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, 0), Control: Outside, Reached: []unix.Errno{unix.EFAULT, unix.EPERM}, Absent: []unix.Errno{unix.EPERM}},
		{Row: "A85", Name: "settimeofday", Try: call(unix.SYS_SETTIMEOFDAY, all, 0), Control: Outside, Reached: []unix.Errno{unix.EFAULT}},
		{Row: "A85", Name: "adjtimex", Try: call(unix.SYS_ADJTIMEX, words(0x0001 /* ADJ_OFFSET */, 0)), Why: needsRoot},
	}
	for i := range list {
		if list[i].Row == "" {
			list[i].Row = "A28"
		}
	}
	return append(list, abiAttacks()...)
}

// sysCachestat (Linux 6.5) and lookupDcookie (gone since 6.7) have no name in
// every version of x/sys.
const sysCachestat = 451

func addKey() error {
	_, err := unix.AddKey("user", "jailrun-selftest", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
	return err
}

// widen loads a filter that allows everything over the one there is, and asks
// again for what that one refuses.
func widen() error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := allowAll(0); err != nil {
		return err
	}
	return raw(unix.SYS_VMSPLICE, all)
}

// ambient makes a capability outlive execve, having made it inheritable.
func ambient() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil {
		return err
	}
	caps[0].Inheritable = caps[0].Permitted
	if err := unix.Capset(&head, &caps[0]); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_NET_RAW, 0, 0)
}

// processAttacks reach for other processes.
func processAttacks() []Attack {
	within := []string{"default", "none"} // ptrace reaches only processes of the job
	return []Attack{
		{Row: "A07", Name: "ptrace-pid1", Try: func() error { return unix.PtraceSeize(1) }, Control: Namespace, Twice: true},
		{Row: "A07", Name: "ptrace-attach-pid1", Try: func() error { return syscall.PtraceAttach(1) }, Why: "it would stop the control; ptrace-pid1 has one", Twice: true},
		{Row: "A07", Name: "memory-of-pid1", Try: func() error { return readMemory(1, 0x400000) }, Control: Namespace, Twice: true, Reached: []unix.Errno{unix.EFAULT}},
		{Row: "A35", Name: "ptrace-parent", Try: func() error { return unix.PtraceSeize(os.Getppid()) }, Control: Outside, Allowed: within, Absent: []unix.Errno{unix.EPERM}},
		{Row: "A35", Name: "memory-of-parent", Try: func() error { return readMemory(os.Getppid(), 0x400000) }, Control: Outside, Allowed: within, Reached: []unix.Errno{unix.EFAULT}, Absent: []unix.Errno{unix.EPERM}},
		{Row: "A35", Name: "pidfd-getfd", Try: pidfdGetfd, Control: Outside, Absent: []unix.Errno{unix.EPERM, unix.ENOSYS}},
		{Row: "A35", Name: "kcmp", Try: call(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(os.Getpid()), 1), Control: Outside, Absent: []unix.Errno{unix.ENOSYS}},
		{Row: "A35", Name: "process-madvise", Try: call(unix.SYS_PROCESS_MADVISE, all, 0, 0, 0, 0), Control: Outside, Reached: []unix.Errno{unix.EBADF, unix.EINVAL}, Absent: []unix.Errno{unix.ENOSYS}},
		{Row: "A49", Name: "signal-outside", Try: signalOutside, Why: "the control is the test that has a process outside to be hit", Twice: true},
		{Row: "A68", Name: "realtime", Try: func() error { return unix.SchedSetAttr(0, &unix.SchedAttr{Size: 48, Policy: 1, Priority: 1}, 0) }, Why: "needs CAP_SYS_NICE of the host"},
		{Row: "A68", Name: "nicer", Try: func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -5) }, Why: "needs CAP_SYS_NICE of the host", Twice: true},
		{Row: "A68", Name: "realtime-io", Try: call(unix.SYS_IOPRIO_SET, 1, 0, 1<<13), Why: "needs CAP_SYS_NICE of the host"},
		{Row: "A53", Name: "setgroups", Try: func() error { return unix.Setgroups([]int{0}) }, Why: "needs CAP_SETGID; namespaces of one line deny it", Twice: true},
		{Row: "A53", Name: "setuid", Try: func() error { return unix.Setuid(1) }, Why: "needs an id that is mapped, which there is none", Twice: true},
	}
}

func pidfdGetfd() error {
	fd, err := unix.PidfdOpen(os.Getppid(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	got, err := unix.PidfdGetfd(fd, 0, 0)
	if err == nil {
		err = unix.Close(got)
	}
	return err
}

// outsidePids are numbers that belong to nobody in a small pid namespace.
var outsidePids = []int{5000, 20000, 60000, 4000000}

func signalOutside() error {
	for _, pid := range outsidePids {
		if err := unix.Kill(pid, 0); err == nil {
			return nil
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			return unix.Close(fd)
		}
	}
	return unix.ESRCH
}
