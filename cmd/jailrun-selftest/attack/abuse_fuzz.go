package attack

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

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
