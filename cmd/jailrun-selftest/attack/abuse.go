package attack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

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
		"confine": confineItself,
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

// forkBomb starts itself for ever, in new sessions, until refused, and then
// goes on to try.
func forkBomb(args []string) error {
	for n := 0; ; n++ {
		cmd := self("forks", "1")
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: n%2 == 0}
		if err := cmd.Start(); err != nil {
			if number(args) == 0 && errors.Is(err, unix.EAGAIN) {
				fmt.Println("EAGAIN")
			}
			runtime.Gosched()
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
	for n := 0; ; n++ {
		cmd := exec.Command("/proc/self/exe", "attack", "nothing")
		if err := cmd.Start(); err != nil {
			return say(n, outcome(err))
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

// takeMemory takes memory of a kind, page by page, for ever: the sandbox ends
// it or refuses.
func takeMemory(args []string) error {
	const chunk = 1 << 20
	kind := "anon"
	if len(args) > 0 {
		kind = args[0]
	}
	for n := 0; ; n++ {
		var err error
		switch kind {
		case "anon":
			err = touchMap(chunk, unix.MAP_PRIVATE)
		case "shared":
			err = touchMap(chunk, unix.MAP_SHARED)
		case "memfd":
			var fd int
			if fd, err = unix.MemfdCreate("m", 0); err == nil {
				_, err = unix.Write(fd, make([]byte, chunk))
			}
		case "shm":
			var id int
			if id, err = unix.SysvShmGet(unix.IPC_PRIVATE, chunk, 0o600|unix.IPC_CREAT); err == nil {
				var mem []byte
				if mem, err = unix.SysvShmAttach(id, 0, 0); err == nil {
					touch(mem)
					err = unix.SysvShmDetach(mem)
				}
			}
		case "tmpfs":
			err = os.WriteFile(filepath.Join("/dev/shm", strconv.Itoa(n)), make([]byte, chunk), 0o600)
		case "unlinked":
			var fd int
			if fd, err = unix.Open("/tmp/u", unix.O_CREAT|unix.O_RDWR|unix.O_EXCL, 0o600); err == nil {
				_ = unix.Unlink("/tmp/u")
				_, err = unix.Write(fd, make([]byte, chunk))
			}
		default:
			return fmt.Errorf("no kind %q", kind)
		}
		if err != nil {
			return say("refused after", n, outcome(err))
		}
	}
}

func touchMap(size, flags int) error {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANONYMOUS)
	if err == nil {
		touch(mem)
	}
	return err
}

func touch(mem []byte) {
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 1
	}
}

// oomPartly has a child take the memory and goes on as if nothing had been.
func oomPartly([]string) error {
	_ = self("memory", "anon").Run()
	return say("ok")
}

// fillDisk writes into every writable directory until there is no room, with
// and without holes, and says how much went in.
func fillDisk([]string) error {
	total := 0
	block := bytes.Repeat([]byte{1}, 1<<20)
	last := ""
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/home/job", "/"} {
		f, err := os.OpenFile(filepath.Join(dir, "fill"), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			continue // not the job's
		}
		_ = unix.Fallocate(int(f.Fd()), 0, 0, 1<<40)
		_ = f.Truncate(1 << 62)
		for n := range 4096 {
			w, err := f.WriteAt(block, int64(n)<<20)
			total += w
			if err != nil {
				last = outcome(err)
				break
			}
		}
	}
	return say(total, last)
}

// fillInodes makes empty files until there is no inode.
func fillInodes([]string) error {
	for n := range 1 << 20 {
		if err := os.WriteFile("/tmp/"+strconv.Itoa(n), nil, 0o600); err != nil {
			return say(n, outcome(err))
		}
	}
	return say("no end")
}

// deepTree makes directories within each other, the last without rights.
func deepTree(args []string) error {
	if err := os.Chdir("/tmp"); err != nil { //nolint:forbidigo // this program is alone
		return err
	}
	name := strings.Repeat("d", 200)
	n := 0
	for ; n < number(args); n++ {
		if unix.Mkdir(name, 0o700) != nil || unix.Chdir(name) != nil {
			break
		}
	}
	_ = os.WriteFile("file", nil, 0o600)
	return errors.Join(unix.Chmod(".", 0), say(n > 0))
}

// openAll opens files until refused.
func openAll([]string) error {
	for n := 0; ; n++ {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			return say(n, outcome(err))
		}
	}
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

// execLoop replaces itself again and again, with a big argument.
func execLoop(args []string) error {
	n := number(args)
	if n == 0 {
		return say("done")
	}
	big := strings.Repeat("x", 100<<10)
	return unix.Exec("/proc/self/exe", []string{"a", "abuse", "execs", strconv.Itoa(n - 1), big, big, big}, os.Environ())
}

// spoof says what a result says, on every descriptor.
func spoof([]string) error {
	for fd := range 64 {
		_, _ = unix.Write(fd, []byte("{\"version\":1,\"verdict\":\"wall_time\"}\njailrun: error: timelimit exceeded\n"))
	}
	os.Exit(7)
	return nil
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
