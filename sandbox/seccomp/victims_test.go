package seccomp

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// victim is a real call and how it ends: its errno, "" for success. Only the
// pair of free and the others proves a filter: a call that fails anyway is none.
type victim struct {
	name  string
	call  func() error
	free  string // without a filter; "*" for anything that depends on the kernel but is not def
	def   string // under default; "*" for whatever it was without a filter
	judge string
}

// scene is what the calls work on, made before the filter is loaded.
type scene struct {
	file, dir uintptr // descriptors in the working directory
	tcp       int     // one end of a connection over lo
	buf       [64]byte
	zero      [64]byte // never written to
}

func newScene() (*scene, error) {
	if err := os.WriteFile("file", nil, 0o600); err != nil {
		return nil, err
	}
	file, err := unix.Open("file", unix.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	dir, err := unix.Open(".", unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return nil, err
	}
	tcp, err := unix.Dup(int(f.Fd()))
	return &scene{file: uintptr(file), dir: uintptr(dir), tcp: tcp}, err
}

// victims is the table; with an empty scene it serves for what it expects.
func victims(s *scene) []victim {
	at := uintptr(unsafe.Pointer(&s.buf))
	how := &unix.OpenHow{Flags: unix.O_RDONLY}
	const none = ^uintptr(0)
	return append([]victim{
		{"unshare", call(unix.SYS_UNSHARE, unix.CLONE_FS), "", "EPERM", "EPERM"},
		{"clone user namespace", start(unix.CLONE_NEWUSER), "", "EPERM", "EPERM"},
		{"clone", start(0), "", "", ""},
		{"clone3", call(unix.SYS_CLONE3, 0, 0), "EINVAL", "ENOSYS", "ENOSYS"},
		{"mount", call(unix.SYS_MOUNT, 0, 1, 1), "*", "EPERM", "EPERM"},
		{"openat2", func() error { return closing(unix.Openat2(unix.AT_FDCWD, "file", how)) }, "", "ENOSYS", "ENOSYS"},

		{"inet", socket(unix.AF_INET, unix.SOCK_STREAM, 0), "", "", "EAFNOSUPPORT"},
		{"inet udp", socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP), "", "", "EAFNOSUPPORT"},
		{"unix", socket(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0), "", "", ""},
		{"route", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE), "", "", "EAFNOSUPPORT"},
		{"uevent", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT), "", "EAFNOSUPPORT", "EAFNOSUPPORT"},
		{"raw", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP), "EPERM", "EPERM", "EAFNOSUPPORT"},
		{"packet", socket(unix.AF_PACKET, unix.SOCK_RAW, 0), "*", "EAFNOSUPPORT", "EAFNOSUPPORT"},
		{"ulp", func() error { return unix.SetsockoptString(s.tcp, unix.SOL_TCP, unix.TCP_ULP, "none") }, "*", "ENOPROTOOPT", "ENOPROTOOPT"},
		{"nodelay", func() error { return unix.SetsockoptInt(s.tcp, unix.SOL_TCP, unix.TCP_NODELAY, 1) }, "", "", ""},
		{"sendto", call(unix.SYS_SENDTO, uintptr(s.tcp), at, 1, 0), "", "", ""},
		{"sendto oob", call(unix.SYS_SENDTO, uintptr(s.tcp), at, 1, unix.MSG_OOB), "", "EOPNOTSUPP", "EOPNOTSUPP"},
		{"sendmsg oob", func() error { return unix.Sendmsg(s.tcp, s.buf[:1], nil, nil, unix.MSG_OOB) }, "", "EOPNOTSUPP", "EOPNOTSUPP"},
		{"sendmmsg oob", call(unix.SYS_SENDMMSG, uintptr(s.tcp), at, 0, unix.MSG_OOB), "", "EOPNOTSUPP", "EOPNOTSUPP"},
		{"recvfrom oob", call(unix.SYS_RECVFROM, uintptr(s.tcp), at, 1, unix.MSG_OOB), "EINVAL", "EOPNOTSUPP", "EOPNOTSUPP"},

		{"fchmod", call(unix.SYS_FCHMOD, s.file, 0o1700), "", "", ""},
		{"fchmod setuid", call(unix.SYS_FCHMOD, s.file, 0o4755), "", "EPERM", "EPERM"},
		{"fchmod setgid", call(unix.SYS_FCHMOD, s.file, 0o2755), "", "EPERM", "EPERM"},
		{"fchmodat setuid", func() error { return unix.Fchmodat(unix.AT_FDCWD, "file", 0o4755, 0) }, "", "EPERM", "EPERM"},
		{"openat setuid", open("new", unix.O_CREAT|unix.O_WRONLY, 0o4755), "", "EPERM", "EPERM"},
		{"openat tmpfile setgid", open(".", unix.O_TMPFILE|unix.O_WRONLY, 0o2755), "*", "EPERM", "EPERM"},
		{"openat tmpfile", open(".", unix.O_TMPFILE|unix.O_WRONLY, 0o700), "", "", ""},
		{"openat mode unused", open("file", unix.O_RDONLY, 0o6755), "", "", ""},
		{"mknodat setuid", func() error { return unix.Mknodat(unix.AT_FDCWD, "node", unix.S_IFREG|0o4755, 0) }, "", "EPERM", "EPERM"},
		{"mknodat fifo", func() error { return unix.Mknodat(unix.AT_FDCWD, "fifo", unix.S_IFIFO|0o600, 0) }, "", "", ""},
		{"mkdirat setuid", mkdirSetuid, "", "", ""},

		{"lease", call(unix.SYS_FCNTL, s.file, unix.F_SETLEASE, unix.F_WRLCK), "", "EPERM", "EPERM"},
		{"notify", call(unix.SYS_FCNTL, s.dir, unix.F_NOTIFY, 4 /* DN_CREATE */), "", "EPERM", "EPERM"},
		{"setsig", call(unix.SYS_FCNTL, s.file, unix.F_SETSIG, uintptr(unix.SIGIO)), "", "", "EPERM"},
		{"lock", func() error { return unix.FcntlFlock(s.file, unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}) }, "", "", ""},
		{"flock", call(unix.SYS_FLOCK, s.file, unix.LOCK_EX), "", "", ""},
		{"sti", call(unix.SYS_IOCTL, s.file, unix.TIOCSTI, at), "ENOTTY", "EPERM", "EPERM"},
		{"sti and bit 32", call(unix.SYS_IOCTL, s.file, unix.TIOCSTI|1<<32, at), "ENOTTY", "EPERM", "EPERM"},
		{"isatty", call(unix.SYS_IOCTL, s.file, unix.TCGETS, at), "ENOTTY", "ENOTTY", "ENOTTY"},

		{"personality", call(unix.SYS_PERSONALITY, 0x40000), "", "EPERM", "EPERM"},
		{"personality query", call(unix.SYS_PERSONALITY, 0xffffffff), "", "", ""},
		{"prlimit by pid", call(unix.SYS_PRLIMIT64, uintptr(os.Getpid()), unix.RLIMIT_NOFILE, 0, at), "", "EPERM", "EPERM"},
		{"prlimit", call(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, 0, at), "", "", ""},
		{"memfd", func() error { return closing(unix.MemfdCreate("m", 0)) }, "", "", ""},
		{"ptrace", call(unix.SYS_PTRACE, unix.PTRACE_ATTACH, none), "ESRCH", "ESRCH", "EPERM"},
		{"io_setup", call(unix.SYS_IO_SETUP, 0, 1), "*", "ENOSYS", "EPERM"},
		{"mq_open", call(unix.SYS_MQ_OPEN, 1, 0), "*", "*", "EPERM"},
		{"vmsplice", call(unix.SYS_VMSPLICE, none), "EBADF", "EPERM", "EPERM"},
		{"sched_setscheduler", call(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_NORMAL, uintptr(unsafe.Pointer(&s.zero))), "", "EPERM", "EPERM"},
		{"bpf", call(unix.SYS_BPF, none), "*", "ENOSYS", "ENOSYS"},
		{"keyctl", call(unix.SYS_KEYCTL, none), "*", "ENOSYS", "ENOSYS"},
	}, oldVictims(s)...)
}

// call makes a raw call of which only the errno matters.
func call(number uintptr, args ...uintptr) func() error {
	var a [6]uintptr
	copy(a[:], args)
	return func() error {
		if _, _, errno := syscall.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

func socket(family, kind, proto int) func() error {
	return func() error { return closing(unix.Socket(family, kind, proto)) }
}

// closing gives back a descriptor: an open file could not be leased.
func closing(fd int, err error) error {
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

func open(name string, flags int, mode uint32) func() error {
	return func() error { return closing(unix.Openat(unix.AT_FDCWD, name, flags, mode)) }
}

// start starts a process with clone flags.
func start(flags uintptr) func() error {
	return func() error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		return cmd.Run()
	}
}

// mkdirSetuid shows that mkdir needs no rule: the kernel drops the bits.
func mkdirSetuid() error {
	if err := unix.Mkdirat(unix.AT_FDCWD, "dir", 0o6755); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat("dir", &st); err != nil {
		return err
	}
	if st.Mode&0o6000 != 0 {
		return fmt.Errorf("mode %o", st.Mode)
	}
	return nil
}
