package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// applyShape gives the guest the properties of a host shape that are not a matter of the groups (delegate) or of the
// first mounts (guestMounts).
func applyShape(s wire.Setup) error {
	switch s.Shape {
	case wire.ShapeCgroupReadOnly:
		return remount(cgroupRoot, true)
	case wire.ShapeNoUserNS:
		return sysctl("user/max_user_namespaces", "0")
	case wire.ShapeNoUserNSClone:
		return sysctl("kernel/unprivileged_userns_clone", "0")
	case wire.ShapeMaskedProc:
		return maskProc()
	case wire.ShapeSwap:
		return swapOn("/home/.swap", 64<<20)
	}
	return nil
}

func sysctl(name, value string) error {
	return writeFile(filepath.Join("/proc/sys", name), value)
}

// remount changes the flags of the mount on path to read-only or back.
func remount(path string, readOnly bool) error {
	flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	return (mount{"", path, "", flags, ""}).do()
}

// maskProc covers /proc as engines do for an unprivileged container. From then on the kernel refuses a new proc in a
// user namespace (mount_too_revealing, EPERM), since it would show what is covered here.
func maskProc() error {
	for _, p := range []string{"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug"} {
		err := (mount{"/dev/null", p, "", unix.MS_BIND, ""}).do()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, p := range []string{"/proc/acpi", "/proc/scsi", "/proc/asound"} {
		err := (mount{"tmpfs", p, "tmpfs", unix.MS_RDONLY, ""}).do()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, p := range []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		err := (mount{p, p, "", unix.MS_BIND, ""}).do()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := remount(p, true); err != nil {
			return err
		}
	}
	return nil
}

// swapOn makes a swap file of size bytes and uses it. The header is the one of mkswap(8), version 1.
func swapOn(path string, size int64) error {
	const page = 4096
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	zero := make([]byte, 1<<20) // a swap file must have no holes
	for off := int64(0); off < size; off += int64(len(zero)) {
		if _, err := f.WriteAt(zero, off); err != nil {
			return err
		}
	}
	head := make([]byte, page)
	binary.LittleEndian.PutUint32(head[1024:], 1)
	binary.LittleEndian.PutUint32(head[1028:], uint32(size/page-1))
	copy(head[page-10:], "SWAPSPACE2")
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return swapon(path)
}

func swapon(path string) error {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	if errno := rawSwapon(p); errno != 0 {
		return &os.PathError{Op: "swapon", Path: path, Err: errno}
	}
	return nil
}
