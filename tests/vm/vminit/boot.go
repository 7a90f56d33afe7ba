package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// Where the initramfs mounts the host's root and builds the guest's.
const (
	hostRoot = "/host"
	newRoot  = "/newroot"
)

// boot makes the guest out of an initramfs: modules, root, mounts, user, control groups, and then serves jobs.
func boot() error {
	for _, m := range []mount{
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", 0, ""},
		{"devtmpfs", "/dev", "devtmpfs", 0, ""},
	} {
		if err := m.do(); err != nil {
			return err
		}
	}
	var s wire.Setup
	b, err := os.ReadFile(wire.SetupPath)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s: %w", wire.SetupPath, err)
	}
	for _, m := range s.Modules {
		if err := insertModule(m); err != nil {
			return err
		}
	}
	// The mount flag and the option "ro" of the host's export both stand in the way of a write; the third and
	// strongest bar is on the host, see confine.
	if err := (mount{s.RootFS.Source, hostRoot, s.RootFS.Type, unix.MS_RDONLY | unix.MS_NODEV, s.RootFS.Options}).do(); err != nil {
		return err
	}
	if s.System.Type != "" {
		return bootSystem(s)
	}
	return bootHostRoot(s)
}

// bootHostRoot makes the guest whose root is the host's root, and serves jobs as its pid 1.
func bootHostRoot(s wire.Setup) error {
	if err := (mount{hostRoot, newRoot, "", unix.MS_BIND, ""}).do(); err != nil {
		return err
	}
	for _, m := range guestMounts(s) {
		m.target = newRoot + m.target
		if err := m.do(); err != nil {
			return err
		}
	}
	// Landlock, AppArmor and others have files there; a kernel without them has no such file system.
	if err := (mount{"securityfs", newRoot + "/sys/kernel/security", "securityfs", 0, ""}).do(); err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	if err := devices(newRoot); err != nil {
		return err
	}
	if err := showReadOnly(s.ReadOnly, newRoot); err != nil {
		return err
	}
	if err := identity(s.User, newRoot); err != nil {
		return err
	}
	if err := ownDir(newRoot+runtimeDir(s.User), s.User); err != nil {
		return err
	}
	if err := switchRoot(newRoot); err != nil {
		return err
	}
	if err := settings(); err != nil {
		return err
	}
	if err := os.Setenv("PATH", wire.Path); err != nil {
		return err
	}
	groups, err := delegate(s.User, s.Shape)
	if err != nil {
		return fmt.Errorf("control groups: %w", err)
	}
	if err := applyShape(s); err != nil {
		return fmt.Errorf("shape %q: %w", s.Shape, err)
	}
	return serve(s, &directRunner{user: s.User, groups: groups})
}

// switchRoot makes dir the root of the mount namespace. A mere chroot would leave the initramfs as the root of the
// namespace, and the kernel refuses user namespaces to a process whose root is not that root (current_chrooted, EPERM).
//
// The mounts of the initramfs go first. They would stay in the namespace, unreachable but counted: a proc that is
// covered nowhere lets a job mount a new one, whatever covers the guest's own.
func switchRoot(dir string) error {
	for _, old := range []string{hostRoot, "/dev", "/sys", "/proc"} {
		if err := unix.Unmount(old, unix.MNT_DETACH); err != nil {
			return &os.PathError{Op: "umount", Path: old, Err: err}
		}
	}
	if err := unix.Chdir(dir); err != nil {
		return &os.PathError{Op: "chdir", Path: dir, Err: err}
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return os.NewSyscallError("mount move", err)
	}
	if err := unix.Chroot("."); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	return os.NewSyscallError("chdir", unix.Chdir("/"))
}

// insertModule loads one module; one that the kernel already has is no error.
func insertModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return &os.PathError{Op: "finit_module", Path: path, Err: err}
	}
	return nil
}

// settings are the sysctls that systemd sets on every Debian and without which the guest would be no usual host.
func settings() error {
	for name, value := range map[string]string{
		"fs/protected_hardlinks": "1",
		"fs/protected_symlinks":  "1",
		"fs/protected_fifos":     "1",
		"fs/protected_regular":   "2",
		"kernel/core_pattern":    "core",
		"kernel/hostname":        "testvm",
	} {
		if err := sysctl(name, value); err != nil {
			return err
		}
	}
	// The limits of a login under systemd. Setting it also keeps the Go runtime from giving jobs its own soft limit.
	nofile := unix.Rlimit{Cur: 1024, Max: 524288}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &nofile); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	return loopbackUp()
}
