package attack

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// deviceAttacks look for devices and terminals.
func deviceAttacks() []Attack {
	list := []Attack{
		{Row: "A18", Name: "mknod-block", Try: mknod(unix.S_IFBLK, 8, 0), Why: "needs CAP_MKNOD of the host", Twice: true},
		{Row: "A18", Name: "mknod-mem", Try: mknod(unix.S_IFCHR, 1, 1), Why: "needs CAP_MKNOD of the host", Twice: true},
		{Row: "A20", Name: "mknod-other-null", Try: mknod(unix.S_IFCHR, 1, 3), Why: "needs CAP_MKNOD of the host", Twice: true},
		{Row: "A94", Name: "open-terminal", Try: openDevice("/dev/tty"), Why: "the tests have no terminal", Twice: true},
	}
	for _, name := range []string{
		"mem", "kmem", "port", "kmsg", "sda", "vda", "loop-control", "loop0", "fuse", "net/tun", "kvm", "dri", "snd", "input", "console",
		"tty0", "tty1", "ptmx", "pts/0", "pts/ptmx", "hugepages", "mqueue", "userfaultfd", "vhost-net", "vsock", "nvidia0", "btrfs-control", "autofs", "rfkill", "cpu/0/msr", "vfio/vfio", "uinput",
	} {
		list = append(list, Attack{Row: "A18", Name: "open-" + word(name), Try: openDevice("/dev/" + name), Why: "hosts differ in what they have; most is for root only", Twice: true})
	}
	for _, i := range []struct {
		name string
		cmd  uintptr
	}{{"sti", unix.TIOCSTI}, {"linux", unix.TIOCLINUX}, {"setd", unix.TIOCSETD}, {"cons", unix.TIOCCONS}} {
		for _, high := range []struct {
			name string
			bit  uintptr
		}{{"", 0}, {"-high", 1 << 32}} {
			list = append(list, Attack{Row: "A34", Name: "ioctl-" + i.name + high.name, Try: ioctlOnFile(i.cmd | high.bit), Control: Outside, Reached: []unix.Errno{unix.ENOTTY}})
		}
	}
	return list
}

func mknod(kind uint32, major, minor uint32) func() error {
	return func() error {
		path := scratch("node")
		err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor)))
		_ = os.Remove(path)
		return err
	}
}

func openDevice(path string) func() error {
	return func() error { return openOnly(path) }
}

// ioctlOnFile asks a plain file: the filter answers before the kernel looks.
func ioctlOnFile(cmd uintptr) func() error {
	return func() error {
		f, err := os.OpenFile(scratch("ioctl"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := raw(unix.SYS_IOCTL, f.Fd(), cmd, address("x")); err != unix.EPERM { //nolint:errorlint // raw returns the bare errno
			return unix.ENOTTY
		}
		return unix.EPERM
	}
}

// scratch names a file in a writable directory; there is one everywhere.
func scratch(name string) string { return filepath.Join(os.TempDir(), "attack-"+name) }

// fileAttacks write where nothing may be written, and what may not be.
func fileAttacks() []Attack {
	var list []Attack
	for _, dir := range []string{"/usr", "/usr/bin", "/usr/lib", "/bin", "/lib", "/dev", "/proc", "/sys", "/etc/alternatives", "/etc/ssl/certs", "/opt"} {
		list = append(list, Attack{
			Row: "A19", Name: "create-in-" + word(dir), Try: create(dir), Twice: true,
			Why: "the directories are root's; that others can be written is seen by what the same program does in /tmp",
		})
	}
	return append(list,
		Attack{Row: "A17", Name: "chmod-setuid", Try: setuidFile(func(path string) error { return unix.Chmod(path, 0o4755) }), Control: Outside},
		Attack{Row: "A17", Name: "chmod-setgid", Try: setuidFile(func(path string) error { return unix.Chmod(path, 0o2755) }), Control: Outside},
		Attack{Row: "A17", Name: "create-setuid", Try: createSetuid, Control: Outside},
		Attack{Row: "A17", Name: "file-capabilities", Try: setuidFile(func(path string) error {
			return unix.Setxattr(path, "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0)
		}), Control: Namespace, Twice: true},
		Attack{Row: "A20", Name: "trusted-xattr", Try: setuidFile(func(path string) error {
			return unix.Setxattr(path, "trusted.overlay.redirect", []byte("/etc"), 0)
		}), Why: "needs CAP_SYS_ADMIN of the host", Twice: true},
		Attack{Row: "A48", Name: "lease", Try: lease, Control: Outside},
		Attack{Row: "A48", Name: "notify", Try: dnotify, Control: Outside, Absent: []unix.Errno{unix.EINVAL}},
	)
}

func create(dir string) func() error {
	return func() error {
		path := filepath.Join(dir, "attack-file")
		fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		_ = unix.Unlink(path)
		return unix.Close(fd)
	}
}

func setuidFile(change func(path string) error) func() error {
	return func() error {
		path := scratch("mode")
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			return err
		}
		defer os.Remove(path)
		return change(path)
	}
}

func createSetuid() error {
	path := scratch("created")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o4755)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	return unix.Close(fd)
}

func lease() error {
	path := scratch("lease")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	defer os.Remove(path)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	return err
}

func dnotify() error {
	f, err := os.Open(os.TempDir())
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_NOTIFY, 4 /* DN_CREATE */)
	return err
}

// memoryAttacks map what may not be mapped or locked.
func memoryAttacks() []Attack {
	return []Attack{
		{Row: "A43", Name: "map-page-zero", Try: call(unix.SYS_MMAP, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED, all, 0), Why: "vm.mmap_min_addr is a host's own", Twice: true},
		{Row: "A43", Name: "lock-memory", Try: lockMemory, Control: Outside, Absent: []unix.Errno{unix.ENOMEM, unix.EPERM}, Twice: true},
		{Row: "A43", Name: "huge-pages", Try: call(unix.SYS_MMAP, 0, 2<<20, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_HUGETLB, all, 0), Why: "a host has huge pages or not", Twice: true},
		{Row: "A64", Name: "more-descriptors", Try: func() error {
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096})
		}, Control: Outside, Absent: []unix.Errno{unix.EPERM}, Twice: true},
	}
}

func lockMemory() error {
	mem, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	return unix.Mlock(mem)
}
