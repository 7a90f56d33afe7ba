package attack

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// ipcKey is that of the System V objects that the tests make.
const ipcKey = 0x4a41494c

// findIPC looks for System V objects and a message queue, or makes them.
func findIPC(args []string) error {
	flags := uintptr(0)
	if len(args) > 0 && args[0] == "make" {
		flags = unix.IPC_CREAT | 0o600
	}
	open := uintptr(unix.O_RDWR)
	if flags != 0 {
		open |= unix.O_CREAT
	}
	return errors.Join(
		say("shm", outcome(raw(unix.SYS_SHMGET, ipcKey, 4096, flags))),
		say("sem", outcome(raw(unix.SYS_SEMGET, ipcKey, 1, flags))),
		say("msg", outcome(raw(unix.SYS_MSGGET, ipcKey, flags))),
		say("mq", outcome(raw(unix.SYS_MQ_OPEN, address("jailrun-attack"), open, 0o600, 0))),
	)
}

// leaving are the places where a job may leave something for the next one.
var leaving = []string{
	"/", "/etc", "/usr", "/usr/bin", "/bin", "/lib", "/opt", "/var", "/var/tmp", "/tmp", "/dev", "/dev/shm", "/proc", "/sys", "/run", "/home",
	"/home/job", "/work", "/mnt",
}

// leave leaves a file in every place, and says in how many it could; and it
// leaves System V objects.
func leave([]string) error {
	n := 0
	for _, dir := range leaving {
		if os.WriteFile(filepath.Join(dir, "left-behind"), []byte("x"), 0o644) == nil { //nolint:gosec // to be found
			n++
		}
	}
	return errors.Join(findIPC([]string{"make"}), say("left", n))
}

// found looks for what [leave] left.
func found([]string) error {
	n := 0
	for _, dir := range leaving {
		if _, err := os.Lstat(filepath.Join(dir, "left-behind")); err == nil {
			n++
		}
	}
	return errors.Join(findIPC(nil), say("found", n))
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

// killAll sends what it may to everyone, and ends with status 5.
func killAll([]string) error {
	_ = unix.Kill(1, unix.SIGKILL)
	_ = unix.Kill(1, unix.SIGSTOP)
	_ = unix.Kill(os.Getppid(), unix.SIGSTOP)
	_ = unix.Kill(os.Getppid(), unix.SIGKILL)
	for tid := 1; tid < 64; tid++ {
		if tid < os.Getpid() {
			_ = unix.Tgkill(tid, tid, unix.SIGKILL)
		}
	}
	_ = unix.Kill(-1, unix.SIGKILL)
	os.Exit(5)
	return nil
}

// fuzz makes calls with random numbers and arguments for some milliseconds.
// What it must not call ends this very process, or waits for ever.
func fuzz(args []string) error {
	end := time.Now().Add(time.Duration(number(args)) * time.Millisecond)
	for time.Now().Before(end) {
		cmd := self("fuzz-some")
		cmd.Args = []string{"a", "abuse", "fuzz", "0", strconv.FormatUint(rand.Uint64(), 10)}
		if len(args) > 1 {
			break
		}
		_ = cmd.Start()
		timer := time.AfterFunc(300*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	}
	if len(args) < 2 {
		return say("fuzzed")
	}
	seed, _ := strconv.ParseUint(args[1], 10, 64)
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // not a secret
	values := func() uintptr {
		switch r.IntN(6) {
		case 0:
			return uintptr(r.IntN(8))
		case 1:
			return uintptr(r.Uint64())
		case 2:
			return address("/tmp")
		case 3:
			return uintptr(r.IntN(1 << 16))
		case 4:
			return all
		}
		return 1 << r.IntN(64)
	}
	skip := map[int]bool{unix.SYS_EXIT: true, unix.SYS_EXIT_GROUP: true, unix.SYS_RT_SIGRETURN: true, unix.SYS_MUNMAP: true, unix.SYS_CLOSE_RANGE: true}
	for _, signal := range []int{unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PTRACE} {
		skip[signal] = true // they would end the program that counts; other attacks make them
	}
	runtime.LockOSThread()
	for range 2000 {
		number := r.IntN(600)
		if !skip[number] {
			_ = raw(uintptr(number), values(), values(), values(), values(), values(), values())
		}
	}
	return nil
}

// inotify takes instances until refused, says how many, and holds them until
// its standard input ends.
func inotify([]string) error {
	n := 0
	for ; n < 4096; n++ {
		if _, err := unix.InotifyInit1(0); err != nil {
			break
		}
	}
	_ = say(n)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// messageQueues makes POSIX message queues until refused, and holds them.
func messageQueues([]string) error {
	n := 0
	for ; n < 1024; n++ {
		if raw(unix.SYS_MQ_OPEN, address("q"+strconv.Itoa(n)), unix.O_RDWR|unix.O_CREAT, 0o600, 0) != nil {
			break
		}
	}
	_ = say(n)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// queue queues realtime signals for itself, blocked, until refused, and holds
// them.
func queue([]string) error {
	runtime.LockOSThread()
	var set unix.Sigset_t
	set.Val[0] = 1 << 39 // signal 40
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		return err
	}
	n := 0
	for ; n < 1<<17; n++ {
		info := words(40, uint64(^uint32(0))) // si_signo, si_errno; si_code SI_QUEUE
		if raw(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(os.Getpid()), uintptr(unix.Gettid()), 40, info) != nil {
			break
		}
		kept = nil
	}
	_ = say(n)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// threadDies makes, in a second thread, a call that the strict profile kills
// for, and waits in the first.
func threadDies([]string) error {
	go func() {
		runtime.LockOSThread()
		_ = raw(unix.SYS_UNSHARE, unix.CLONE_NEWUTS)
		fmt.Println("alive")
	}()
	return unix.Pause()
}

// vforkStopped starts a child that stops before it lets its parent go on.
func vforkStopped([]string) error {
	return exec.Command("/bin/sh", "-c", "kill -STOP $$").Run()
}

// writeAll writes to the files named, and says what came of it.
func writeAll(paths []string) error {
	for _, path := range paths {
		err := os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // in a sandbox
		if err == nil {
			err = os.WriteFile(path, []byte("#!/bin/sh\necho planted\n"), 0o755) //nolint:gosec // to be run
		}
		if err := say(path, outcome(err)); err != nil {
			return err
		}
	}
	return nil
}

func euid([]string) error { return say(os.Geteuid()) }

func groups([]string) error {
	list, err := unix.Getgroups()
	return errors.Join(err, say(len(list)))
}

// execSelf only shows that it runs; the test calls it by way of /proc.
func execSelf([]string) error { return say("runs") }

// writeExe holds the programs of others open by /proc and tries to write them.
func writeExe(args []string) error {
	for range 2000 {
		for pid := 1; pid < 16; pid++ {
			path := "/proc/" + strconv.Itoa(pid) + "/exe"
			if to, _ := os.Readlink(path); !strings.Contains(to, "jailrun") || strings.Contains(to, "/attack") {
				continue
			}
			fmt.Println("seen")
			for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_TRUNC} {
				if fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0); err == nil {
					_, _ = unix.Write(fd, []byte("overwritten"))
					return say("opened")
				}
			}
		}
		runtime.Gosched()
	}
	return say("not opened")
}

// see says which processes there are.
func see([]string) error {
	list, err := filepath.Glob("/proc/[0-9]*")
	return errors.Join(err, say(len(list)))
}

// overlayAttrs sets the marks by which an overlay finds its layers.
func overlayAttrs([]string) error {
	_ = os.Mkdir("planted", 0o755)
	for _, name := range []string{"user.overlay.redirect", "user.overlay.opaque", "user.overlay.metacopy", "user.overlay.origin", "trusted.overlay.redirect"} {
		for _, value := range []string{"/etc", "y", "../../../etc"} {
			_ = unix.Setxattr("planted", name, []byte(value), 0)
		}
	}
	_ = unix.Link("file", "hard")
	_ = os.Remove("file")
	_ = os.RemoveAll("dir")
	_ = os.Mkdir("dir", 0o755)
	_ = unix.Mknod("whiteout", unix.S_IFCHR, 0)
	_, passwd := os.Stat("planted/passwd")
	_, moved := os.Stat("dir/old")
	return say("passwd", outcome(passwd), "old", outcome(moved))
}

// confineItself loads a filter of its own, as a browser's sandbox does.
func confineItself([]string) error {
	runtime.LockOSThread()
	if err := allowAll(0); err != nil {
		return err
	}
	return say("confined")
}

// overStdin tries to write to the file behind its standard input.
func overStdin([]string) error {
	for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_RDWR | unix.O_TRUNC} {
		if fd, err := unix.Open("/proc/self/fd/0", flags|unix.O_NONBLOCK, 0); err == nil {
			_, _ = unix.Write(fd, []byte("overwritten"))
			_ = unix.Close(fd)
		}
	}
	_ = unix.Fchmod(0, 0o777)
	_ = unix.Ftruncate(0, 0)
	return say("tried")
}
