package attack

import (
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// look reads the start of a file; an empty one gives nothing.
func look(path string) func() error {
	return func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if list, err := f.ReadDir(1); len(list) > 0 && err == nil {
			return nil
		}
		b := make([]byte, 256)
		n, err := f.Read(b)
		switch {
		case n > 0:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL): // an empty directory
			return ErrNothing
		}
		return err
	}
}

// write opens a file for writing and writes text, if there is any.
func write(path, text string) func() error {
	return func() error {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if text == "" {
			return nil
		}
		_, err = unix.Write(fd, []byte(text))
		return err
	}
}

// word makes a name of a path.
func word(path string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == '.' || r == ' ' {
			return '-'
		}
		return r
	}, strings.Trim(path, "/"))
}

// procAttacks are attempts on pid 1 by way of /proc, and writes to /proc.
func procAttacks() []Attack {
	var list []Attack
	for _, name := range []string{"exe", "fd/0", "root/proc", "cwd/.", "environ", "mem", "maps", "auxv", "stack", "map_files", "ns/mnt", "fdinfo/0"} {
		a := Attack{Row: "A06", Name: "pid1-" + word(name), Try: look("/proc/1/" + name), Control: Namespace, Twice: true}
		switch name {
		case "mem":
			a.Try = func() error { return openOnly("/proc/1/mem") }
		case "ns/mnt", "fd/0", "exe":
			a.Try = func() error { return openOnly("/proc/1/" + name) }
		case "stack":
			a.Control, a.Why = None, "needs CAP_SYS_ADMIN of the host"
		case "map_files":
			a.Control, a.Why = None, "the entries need CAP_CHECKPOINT_RESTORE of the host; the list is refused like maps"
		}
		list = append(list, a)
	}
	for _, w := range []struct{ path, text string }{
		{"self/oom_score_adj", "999"},
		{"self/coredump_filter", "0"},
		{"self/mem", ""},
		{"self/comm", "x"},
		{"self/clear_refs", "1"},
		{"self/autogroup", "19"},
		{"self/timerslack_ns", "60000"},
		{"self/uid_map", "0 0 1"},
		{"self/gid_map", "0 0 1"},
		{"self/setgroups", "allow"},
		{"sys/user/max_user_namespaces", "9"},
		{"sys/user/max_net_namespaces", "9"},
		{"sys/user/max_inotify_instances", "9999"},
		{"sys/kernel/core_pattern", ""},
		{"sys/kernel/ns_last_pid", "77"},
		{"sys/kernel/hostname", "x"},
		{"sys/net/ipv4/ip_forward", "1"},
		{"sys/kernel/shmall", "99999"},
		{"sys/vm/drop_caches", ""},
		{"sys/fs/mqueue/queues_max", "9999"},
		{"sysrq-trigger", ""},
		{"sys/kernel/modprobe", ""},
		{"sys/kernel/yama/ptrace_scope", "0"},
		{"sys/vm/overcommit_memory", ""},
	} {
		a := Attack{Row: "A11", Name: "write-" + word(w.path), Try: write("/proc/"+w.path, w.text), Control: Namespace, Twice: true}
		switch w.path {
		case "self/uid_map", "self/gid_map", "self/setgroups":
			a.Control, a.Why = None, "the kernel allows one write, which was the sandbox's"
		case "sys/kernel/core_pattern", "sys/vm/drop_caches", "sysrq-trigger", "sys/kernel/modprobe", "sys/kernel/yama/ptrace_scope", "sys/vm/overcommit_memory":
			a.Control, a.Why = None, "needs root of the host"
		case "sys/kernel/hostname":
			a.Control, a.Why = None, "kernels differ in who may write it"
		case "sys/net/ipv4/ip_forward", "sys/kernel/ns_last_pid", "self/clear_refs", "self/autogroup", "sys/fs/mqueue/queues_max":
			a.Absent = []unix.Errno{unix.ENOENT}
		}
		list = append(list, a)
	}
	return list
}

func openOnly(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// maskAttacks read what tells about the host or its other users.
func maskAttacks() []Attack {
	var list []Attack
	for _, path := range []string{
		"/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/kallsyms",
		"/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup", "/proc/interrupts", "/proc/softirqs", "/proc/acpi", "/proc/scsi", "/proc/asound",
		"/proc/iomem", "/proc/ioports", "/proc/modules", "/proc/slabinfo", "/proc/vmallocinfo", "/proc/cmdline", "/proc/version_signature",
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/mtrr", "/proc/pressure/cpu", "/proc/swaps", "/proc/diskstats", "/proc/partitions",
		"/proc/config.gz", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/pagetypeinfo", "/proc/driver", "/proc/tty",
		"/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/kernel/slab", "/sys/devices/virtual/powercap",
		"/sys/class/dmi", "/sys/class/net", "/sys/fs/cgroup", "/sys/kernel/vmcoreinfo",
	} {
		a := Attack{Row: "A14", Name: "read-" + word(path), Try: look(path), Control: Outside, Twice: true}
		a.Absent = []unix.Errno{unix.ENOENT, unix.EACCES, unix.EPERM} // a kernel without it, or one that shows it to root only
		list = append(list, a)
	}
	for _, path := range []string{
		"/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/etc/machine-id", "/root", "/home", "/var/log", "/var/lib", "/run", "/srv", "/mnt",
		"/media", "/boot", "/etc/fstab", "/etc/crontab", "/var/run/docker.sock", "/run/dbus", "/run/systemd", "/tmp/.X11-unix",
		"/proc/sys/kernel/random/boot_id",
	} {
		a := Attack{Row: "A50", Name: "read-" + word(path), Try: look(path), Control: Outside, Twice: true}
		a.Absent = []unix.Errno{unix.ENOENT, unix.EACCES, unix.EPERM}
		if path == "/home" {
			a.Name, a.Try = "read-homes", homes
		}
		list = append(list, a)
	}
	return list
}

// homes looks for a home that is not the job's own.
func homes() error {
	list, err := os.ReadDir("/home")
	for _, e := range list {
		if e.Name() != "job" {
			return nil
		}
	}
	if err == nil {
		err = ErrNothing
	}
	return err
}
