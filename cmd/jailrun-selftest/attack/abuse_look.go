package attack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// connectTo tries sockets: UNIX ones by path, TCP ones as HOST:PORT.
func connectTo(args []string) error {
	for _, to := range args {
		var err error
		if strings.Contains(to, ":") {
			var c net.Conn
			if c, err = net.DialTimeout("tcp", to, 5*time.Second); err == nil {
				c.Close()
			}
		} else {
			err = Connect(to, unix.SOCK_STREAM)
		}
		if err := say(to, outcome(err)); err != nil {
			return err
		}
	}
	return nil
}

// dump says all that a job may know of where it is.
func dump([]string) error {
	for _, path := range []string{
		"/proc/version", "/proc/cmdline", "/proc/mounts", "/proc/self/mountinfo", "/proc/self/mountstats", "/proc/self/cgroup", "/proc/loadavg",
		"/proc/stat", "/proc/uptime", "/proc/diskstats", "/proc/net/dev", "/proc/net/route", "/proc/net/unix", "/proc/net/tcp", "/proc/net/arp",
		"/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname", "/etc/passwd", "/etc/group", "/etc/hosts",
		"/etc/hostname", "/etc/resolv.conf", "/etc/machine-id", "/proc/self/environ", "/proc/1/cmdline", "/proc/1/environ", "/proc/1/status",
		"/proc/1/cgroup", "/proc/1/mountinfo", "/proc/1/stat", "/proc/1/comm", "/proc/self/maps", "/proc/self/status", "/proc/keys", "/proc/swaps",
		"/proc/partitions", "/proc/filesystems", "/proc/locks", "/proc/fs/nfsd", "/proc/key-users", "/proc/self/loginuid", "/proc/self/sessionid",
		"/proc/sysvipc/shm", "/proc/sys/fs/binfmt_misc", "/proc/self/attr/current", "/proc/self/fdinfo/0",
	} {
		text, err := os.ReadFile(path)
		fmt.Printf("== %s %v\n%s\n", path, err, text)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	fmt.Printf("== uname\n%s %s\n== environment\n%s\n", u.Nodename, u.Domainname, strings.Join(os.Environ(), "\n"))
	for _, pattern := range []string{"/*", "/home/*", "/tmp/*", "/var/*", "/proc/[0-9]*", "/sys/class/net/*", "/run/*", "/dev/*"} {
		list, _ := filepath.Glob(pattern)
		fmt.Println("==", pattern, list)
	}
	return nil
}

// lock tries to lock files, says what came of it, and holds on until its
// standard input ends.
func lock(args []string) error {
	for _, path := range args {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		}
		if err := say(filepath.Base(path), outcome(err)); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// lookAround says what lies at the places that a hostile root tries to move.
func lookAround([]string) error {
	var st unix.Stat_t
	err := unix.Stat("/dev/null", &st)
	null := err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
	var fs unix.Statfs_t
	err = unix.Statfs("/proc", &fs)
	proc := err == nil && fs.Type == unix.PROC_SUPER_MAGIC && fs.Flags&unix.ST_RDONLY != 0
	return say("null", null, "proc", proc)
}

// see says which processes there are.
func see([]string) error {
	list, err := filepath.Glob("/proc/[0-9]*")
	return errors.Join(err, say(len(list)))
}

// listDescriptors says which descriptors there are, before it opens any.
func listDescriptors([]string) error {
	var open []string
	for fd := range uintptr(65536) {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err == nil {
			open = append(open, strconv.Itoa(int(fd)))
		}
	}
	// The Go runtime's own, if it has any yet, is an eventpoll.
	open = slices.DeleteFunc(open, func(fd string) bool {
		to, _ := os.Readlink("/proc/self/fd/" + fd)
		return to == "anon_inode:[eventpoll]" || to == "anon_inode:[eventfd]"
	})
	return say(strings.Join(open, " "))
}

func euid([]string) error { return say(os.Geteuid()) }

func groups([]string) error {
	list, err := unix.Getgroups()
	return errors.Join(err, say(len(list)))
}

// whoseExes says which file each process runs that there is, as far as it may
// know, and, if it is given a word, whether it can change its own.
func whoseExes(args []string) error {
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range list {
		var st unix.Stat_t
		if err := unix.Stat(dir+"/exe", &st); err != nil {
			fmt.Println(filepath.Base(dir), outcome(err))
		} else {
			fmt.Println(filepath.Base(dir), fmt.Sprintf("%d:%d", st.Dev, st.Ino))
		}
	}
	if len(args) == 0 {
		return nil
	}
	const self = "/proc/self/exe"
	fd, err := unix.Open(self, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Close(fd)
	}
	var st unix.Stat_t
	mode := unix.Stat(self, &st)
	if mode == nil {
		mode = unix.Chmod(self, st.Mode&0o7777)
	}
	return say("own", outcome(err), outcome(mode))
}
