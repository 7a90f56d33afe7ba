package attack

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// mountAttacks try to change what is mounted, and to leave the root.
func mountAttacks() []Attack {
	const (
		attrRdonly = unix.MOUNT_ATTR_RDONLY
		here       = ^uintptr(99) // AT_FDCWD
	)
	list := []Attack{
		{Name: "umount-proc", Try: func() error { return unix.Unmount("/proc", unix.MNT_DETACH) }},
		{Name: "umount-mask", Try: func() error { return unix.Unmount("/proc/keys", unix.MNT_DETACH) }, Reached: []unix.Errno{unix.EINVAL}},
		{Name: "remount-rw", Try: func() error { return unix.Mount("", "/proc", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
		{Name: "bind", Try: inDirectory(func(dir string) error { return unix.Mount(dir, dir, "", unix.MS_BIND, "") })},
		{Name: "mount-tmpfs", Try: func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") }},
		{Name: "mount-proc", Try: func() error { return unix.Mount("none", "/tmp", "proc", 0, "") }},
		{Name: "mount-overlay", Try: inDirectory(func(dir string) error {
			return unix.Mount("none", dir, "overlay", 0, "lowerdir="+dir+":/var/tmp")
		}), Absent: []unix.Errno{unix.ENODEV, unix.EPERM}},
		{Name: "mount-private", Try: func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{Name: "mount-setattr", Try: call(unix.SYS_MOUNT_SETATTR, here, address("/proc"), 0, words(0, attrRdonly, 0, 0), 32)},
		{Name: "open-tree", Try: rawFD(unix.SYS_OPEN_TREE, here, address("/"), unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE)},
		{Name: "move-mount", Try: call(unix.SYS_MOVE_MOUNT, here, address("/proc"), here, address("/tmp"), 0), Reached: []unix.Errno{unix.EINVAL, unix.EBUSY}},
		{Name: "fsopen", Try: rawFD(unix.SYS_FSOPEN, address("tmpfs"), 0)},
		{Name: "fspick", Try: rawFD(unix.SYS_FSPICK, here, address("/proc"), 0)},
	}
	for i := range list {
		list[i].Row, list[i].Control, list[i].Twice = "A13", Namespace, true
	}
	return append(list,
		Attack{Row: "A16", Name: "chroot", Try: chroot, Control: Namespace, Twice: true},
		Attack{Row: "A16", Name: "chroot-escape", Try: chrootEscape, Control: Namespace, Twice: true},
		Attack{Row: "A16", Name: "pivot-root", Try: func() error { return unix.PivotRoot(".", ".") }, Control: Namespace, Twice: true, Reached: []unix.Errno{unix.EINVAL, unix.EBUSY}},
		Attack{Row: "A16", Name: "dotdot", Try: dotdot, Control: None, Why: "the kernel stops at the root; that it is another one is seen by what it holds"},
		Attack{Row: "A21", Name: "mount-shared", Try: func() error {
			if err := unix.Mount("none", "/tmp", "tmpfs", 0, ""); err != nil {
				return err
			}
			return unix.Mount("", "/tmp", "", unix.MS_SHARED, "")
		}, Control: Namespace, Twice: true},
		Attack{
			Row: "A73", Name: "mount-cgroup2", Try: func() error { return unix.Mount("none", "/tmp", "cgroup2", 0, "") }, Control: Namespace, Twice: true,
			Absent: []unix.Errno{unix.EPERM, unix.EBUSY, unix.ENODEV},
		},
		Attack{Row: "A73", Name: "make-cgroup", Try: func() error { return os.Mkdir("/sys/fs/cgroup/a", 0o755) }, Control: None, Why: "there is no cgroup file system to be seen"},
	)
}

// inDirectory tries with an empty directory: one in which others are mounted, as
// machines have it, cannot be shown a second time.
func inDirectory(try func(dir string) error) func() error {
	return func() error {
		dir := scratch("directory")
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as /tmp is
			return err
		}
		defer os.Remove(dir)
		return try(dir)
	}
}

func chroot() error {
	if err := os.MkdirAll("/tmp/c", 0o755); err != nil {
		return err
	}
	return unix.Chroot("/tmp/c")
}

// chrootEscape is the classic one: a directory held open outside of the root.
func chrootEscape() error {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := chroot(); err != nil {
		return err
	}
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	_, err = os.Stat("proc/self")
	return err
}

// dotdot looks for a host above the root.
func dotdot() error {
	for _, path := range []string{"../../../../../../../../root/.profile", "/proc/self/root/../../../boot/grub", "/.old", "/..//.old"} {
		if _, err := os.Lstat(path); err == nil {
			return nil
		}
	}
	return unix.ENOENT
}

// start starts a process with clone flags.
func start(flags uintptr) func() error {
	return func() error {
		cmd := exec.Command("/proc/self/exe", "attack", "nothing")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		err := cmd.Run()
		if _, exited := err.(*exec.ExitError); exited { //nolint:errorlint // exec's own type, unwrapped
			return nil // it ran
		}
		return err
	}
}

// namespaceAttacks try to get a namespace, of its own or another one.
func namespaceAttacks() []Attack {
	var list []Attack
	for _, ns := range []struct {
		name  string
		flag  uintptr
		clone bool
	}{
		{"user", unix.CLONE_NEWUSER, true},
		{"mnt", unix.CLONE_NEWNS, true},
		{"pid", unix.CLONE_NEWPID, true},
		{"net", unix.CLONE_NEWNET, true},
		{"ipc", unix.CLONE_NEWIPC, true},
		{"uts", unix.CLONE_NEWUTS, true},
		{"cgroup", unix.CLONE_NEWCGROUP, true},
		{"time", unix.CLONE_NEWTIME, false}, // for clone its bit is part of the exit signal
	} {
		list = append(list, Attack{
			Row: "A25", Name: "unshare-" + ns.name, Try: call(unix.SYS_UNSHARE, ns.flag), Control: Namespace, Twice: true,
			// A Go program has threads, for which the user namespace is refused at last.
			Reached: []unix.Errno{unix.EINVAL},
		})
		if ns.clone {
			list = append(list, Attack{Row: "A25", Name: "clone-" + ns.name, Try: start(ns.flag), Control: Namespace, Twice: true})
		}
	}
	for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"} {
		a := Attack{Row: "A26", Name: "setns-" + ns, Try: setns("/proc/1/ns/" + ns), Control: Namespace, Twice: true, Reached: []unix.Errno{unix.EINVAL, unix.EUSERS}}
		if ns == "time" {
			a.Absent = []unix.Errno{unix.ENOENT} // CONFIG_TIME_NS
		}
		list = append(list, a)
	}
	return append(list,
		Attack{Row: "A25", Name: "clone3-user", Try: call(unix.SYS_CLONE3, words(unix.CLONE_NEWUSER), 8), Control: Outside, Reached: []unix.Errno{unix.EINVAL}},
		Attack{Row: "A26", Name: "setns-pidfd", Try: setnsPidfd, Control: Namespace, Twice: true},
		Attack{Row: "A26", Name: "name-to-handle", Try: nameToHandle, Control: Outside, Absent: []unix.Errno{unix.EOPNOTSUPP}},
		Attack{Row: "A26", Name: "open-by-handle", Try: openByHandle, Control: None, Why: "needs CAP_DAC_READ_SEARCH of the host", Twice: true},
	)
}

func setns(path string) func() error {
	return func() error {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Setns(fd, 0)
	}
}

func setnsPidfd() error {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, unix.CLONE_NEWUTS)
}

func nameToHandle() error {
	_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0)
	return err
}

// openByHandle is Shocker: the root directory of the file system that the
// working directory lies on, wherever it is mounted.
func openByHandle() error {
	h := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
	fd, err := unix.OpenByHandleAt(unix.AT_FDCWD, h, unix.O_RDONLY)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}
