package attack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Abuse runs one of the programs that use up what there is, or do several
// things in order. They are for a sandbox, and do harm outside of one. What
// they have to say goes to standard output.
func Abuse(name string, args []string) error {
	programs := map[string]func([]string) error{
		"forks": forkBomb, "threads": threadBomb, "zombies": zombies, "orphans": orphans, "memory": takeMemory, "partly": oomPartly,
		"disk": fillDisk, "inodes": fillInodes, "deep": deepTree, "descriptors": openAll, "flood": flood, "burn": burnInOrphans,
		"crash": crash, "flags": changeFlags, "connect": connectTo, "ipc": findIPC, "leave": leave, "found": found, "dump": dump,
		"lock": lock, "swaps": lookAround, "fds": listDescriptors, "kill-all": killAll, "fuzz": fuzz, "inotify": inotify, "queue": queue,
		"spoof": spoof, "thread-dies": threadDies, "vfork": vforkStopped, "write": writeAll, "euid": euid, "groups": groups, "exec-self": execSelf,
		"write-exe": writeExe, "random": drainRandom, "execs": execLoop, "see": see, "attrs": overlayAttrs, "stdin": overStdin, "messages": messageQueues,
		"confine": confineItself, "exes": whoseExes, "starve": starve, "segfaults": segfaults,
	}
	f, ok := programs[name]
	if !ok {
		return fmt.Errorf("no program %q", name)
	}
	return f(args)
}

// number is the first argument, or 0.
func number(args []string) int {
	if len(args) == 0 {
		return 0
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 0
	}
	return n
}

func say(a ...any) error {
	_, err := fmt.Println(a...)
	return err
}

// self prepares this program again, as another process.
func self(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{"abuse"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// flood writes to both streams without an end: lines, NULs, nothing.
func flood([]string) error {
	line := append(bytes.Repeat([]byte("\x00\x1b]0;x\x07y"), 8000), '\n')
	for {
		_, _ = os.Stdout.Write(line)
		_, _ = os.Stderr.Write(line[:1])
		_, _ = os.Stdout.Write(nil)
	}
}

// crash ends by a signal that would dump core; a Go program would catch it.
func crash([]string) error {
	return unix.Exec("/bin/sh", []string{"sh", "-c", "kill -SEGV $$"}, os.Environ())
}

// changeFlags changes what can be changed of the standard streams.
func changeFlags([]string) error {
	for fd := range uintptr(3) {
		_, _ = unix.FcntlInt(fd, unix.F_SETFL, unix.O_NONBLOCK|unix.O_APPEND|unix.O_ASYNC)
		_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 4096)
		_, _ = unix.Seek(int(fd), 0, io.SeekStart)
		_ = unix.Ftruncate(int(fd), 0)
		_ = unix.Fchmod(int(fd), 0)
	}
	return nil
}

// drainRandom asks for random bytes for a while.
func drainRandom([]string) error {
	b := make([]byte, 1<<20)
	for range 64 {
		if _, err := unix.Getrandom(b, 0); err != nil {
			return err
		}
	}
	f, err := os.Open("/dev/random")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, b)
	return errors.Join(err, say("drained"))
}

// spoof says what a result says, on every descriptor.
func spoof([]string) error {
	for fd := range 64 {
		_, _ = unix.Write(fd, []byte("{\"version\":1,\"verdict\":\"wall_time\"}\njailrun: error: timelimit exceeded\n"))
	}
	os.Exit(7)
	return nil
}

// execSelf only shows that it runs; the test calls it by way of /proc.
func execSelf([]string) error { return say("runs") }

// confineItself loads a filter of its own, as a browser's sandbox does.
func confineItself([]string) error {
	runtime.LockOSThread()
	if err := allowAll(0); err != nil {
		return err
	}
	return say("confined")
}
