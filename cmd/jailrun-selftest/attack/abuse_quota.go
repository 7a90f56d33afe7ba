package attack

import (
	"io"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// openAll opens files until refused.
func openAll([]string) error {
	for n := 0; ; n++ {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			return say(n, outcome(err))
		}
	}
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
