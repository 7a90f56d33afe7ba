package attack

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// forkBomb makes processes that make processes, each second one in a session of
// its own, until refused, and then goes on to try. By bare system calls on one
// processor: the runtime of Go gives up when it wants a thread and gets none.
func forkBomb([]string) error {
	runtime.GOMAXPROCS(1)
	told := false
	for n := 0; ; n++ {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		switch {
		case errno == 0 && pid == 0:
			told = true
			if n%2 == 0 {
				_, _, _ = unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
			}
		case errno == unix.EAGAIN && !told:
			told = true
			_, _ = unix.Write(1, []byte("EAGAIN\n"))
		}
	}
}

// threadBomb makes threads until refused.
func threadBomb([]string) error {
	for range 4096 {
		go func() {
			runtime.LockOSThread()
			_ = unix.Pause()
		}()
	}
	select {}
}

// zombies starts children that end and are never waited for.
func zombies([]string) error {
	runtime.GOMAXPROCS(1) // as for forkBomb
	for n := 0; ; n++ {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return say(n, outcome(errno))
		}
		for pid == 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
}

// orphans leaves n processes behind in sessions of their own, under a
// subreaper that ends.
func orphans(args []string) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	n := 0
	for range number(args) {
		cmd := exec.Command("/bin/sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
		if cmd.Run() == nil {
			n++
		}
	}
	return say("left", n)
}

// burnInOrphans burns CPU in grandchildren whom nobody waits for, and sleeps.
func burnInOrphans(args []string) error {
	if number(args) == 1 {
		for i := 0; ; i++ {
			runtime.KeepAlive(i)
		}
	}
	for range 2 {
		if err := exec.Command("/bin/sh", "-c", "setsid /attack abuse burn 1 >/dev/null 2>&1 &").Run(); err != nil {
			return err
		}
	}
	<-time.After(time.Hour)
	return nil
}

// execLoop replaces itself again and again, with a big argument.
func execLoop(args []string) error {
	n := number(args)
	if n == 0 {
		return say("done")
	}
	big := strings.Repeat("x", 100<<10)
	return unix.Exec("/proc/self/exe", []string{"a", "abuse", "execs", strconv.Itoa(n - 1), big, big, big}, os.Environ())
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

// nowhere is where a fault happens.
var nowhere *int

// segfaults starts as many processes as asked, each of which crashes, and makes
// as many calls that are denied. By bare system calls: the runtime of Go would
// catch the signal, and the kernel tells only of what nobody catches.
func segfaults(args []string) error {
	runtime.GOMAXPROCS(1)
	noHandler := words(0, 0, 0, 0)
	for range number(args) {
		_ = raw(unix.SYS_UNSHARE, unix.CLONE_NEWUTS)
		_ = raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, address("x"))
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSEGV), noHandler, 0, 8, 0, 0)
			*nowhere = 1
		}
		if _, err := unix.Wait4(int(pid), nil, 0, nil); err != nil {
			return err
		}
	}
	return say("crashed", number(args))
}

// starve starts processes that spin, to be in the way of whoever watches, and
// then takes more memory than it may have and holds it.
func starve(args []string) error {
	runtime.GOMAXPROCS(1) // as for forkBomb
	for range number(args) {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		for pid == 0 { // a spin
			continue
		}
	}
	if err := touchMap(256<<20, unix.MAP_PRIVATE); err != nil {
		return err
	}
	return unix.Pause()
}
