package lane

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// refusals are the errnos by which a kernel or a policy says no; any other one means that the probe went wrong.
var refusals = []error{
	unix.EPERM, unix.EACCES, unix.ENOENT, unix.ENOSYS, unix.EOPNOTSUPP, unix.EROFS, unix.ENODEV, unix.ENXIO,
	unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ECONNREFUSED,
}

// verdict makes an answer of the error of a system call.
func verdict(err error) Answer {
	if err == nil {
		return yes()
	}
	for _, r := range refusals {
		if errors.Is(err, r) {
			return no("%v", err)
		}
	}
	return failed(err)
}

func probeOpen(path string) func() Answer {
	return func() Answer {
		f, err := os.OpenFile(path, os.O_RDONLY, 0)
		if err == nil {
			err = f.Close()
		}
		return verdict(err)
	}
}

func probeRead(path string) func() Answer {
	return func() Answer {
		_, err := os.ReadFile(path)
		return verdict(err)
	}
}

func probeProgram(name string) func() Answer {
	return func() Answer {
		_, err := exec.LookPath(name)
		if errors.Is(err, exec.ErrNotFound) {
			return no("%s is not installed", name)
		}
		return verdict(err)
	}
}

func probeUnprivileged() Answer {
	if os.Geteuid() == 0 {
		return no("this is root, for whom everything works")
	}
	return yes()
}

func probeLandlock() Answer {
	_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return verdict(os.NewSyscallError("landlock_create_ruleset", errno))
	}
	return yes()
}

// probeNative is for tests of how soon something is done: QEMU's translator is
// some ten times slower, and names itself.
func probeNative() Answer {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil && bytes.Contains(text, []byte("TCG")) {
		return no("the processor is emulated")
	}
	return verdict(err)
}

func probeNetfilter() Answer {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return no("socket NETLINK_NETFILTER: %v", err)
	}
	if err != nil {
		return failed(os.NewSyscallError("socket", err))
	}
	unix.Close(fd)
	return yes()
}

func probeAppArmor() Answer {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err == nil && strings.TrimSpace(string(b)) != "Y" {
		return no("AppArmor is not enabled")
	}
	return verdict(err)
}

func probeSeccomp() Answer {
	b, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	if err == nil && !bytes.Contains(b, []byte("user_notif")) {
		return no("no user_notif in %s", b)
	}
	return verdict(err)
}

// probeASan maps a page at the upper end of the shadow memory, 0x10007fff7fff: User Mode Linux ends a program's
// addresses at 2^39. Lower in the shadow lies the heap of this process.
func probeASan() Answer {
	const page, last = 4096, 0x10007fff7000
	flags := uintptr(unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED_NOREPLACE)
	addr, _, errno := unix.Syscall6(unix.SYS_MMAP, last, page, unix.PROT_NONE, flags, ^uintptr(0), 0)
	if errno == unix.ENOMEM {
		return no("no address %#x in this kernel", last)
	}
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_MUNMAP, addr, page, 0)
	}
	if errno != 0 {
		return failed(os.NewSyscallError("mmap", errno))
	}
	return yes()
}

func probeSMP() Answer {
	if n := runtime.NumCPU(); n < 2 {
		return no("%d CPU", n)
	}
	return yes()
}

func probeSwap() Answer {
	b, err := os.ReadFile("/proc/swaps")
	if err == nil && bytes.Count(b, []byte("\n")) < 2 {
		return no("/proc/swaps is empty")
	}
	return verdict(err)
}
