package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// canceledBy is the cause of a cancel that came as a signal.
type canceledBy struct{ signal unix.Signal }

func (c canceledBy) Error() string { return "jailrun got " + unix.SignalName(c.signal) }

// A controller reaches the job while it runs; *sandbox.Cmd is one.
type controller interface {
	Signal(unix.Signal) error // to its main process
	Suspend(bool) error       // all of it
}

// watchSignals turns signals to jailrun into what they mean for the job: the
// first of SIGINT, SIGTERM, SIGHUP and SIGQUIT cancels the run, which passes
// SIGTERM on and waits for --grace; the second kills. SIGTSTP holds the job as
// long as jailrun itself is stopped. It stays until jailrun ends, so that a
// signal after the run does not keep the result from being written.
//
// It works beside the launch: each signal costs two switches to a thread of the
// runtime, 0.1 to 0.3 ms for all. The launch waits for watched right before
// there is a job; a signal until then ends jailrun as it would have a moment
// earlier.
func watchSignals(cancel context.CancelCauseFunc, job controller) (watched <-chan struct{}) {
	ready := make(chan struct{})
	go func() {
		ch := make(chan os.Signal, 8)
		for _, s := range [...]os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP} {
			// What our caller had ignored stays so: nohup, a background job
			// of a script.
			if !signal.Ignored(s) {
				signal.Notify(ch, s)
			}
		}
		close(ready)
		canceled := false
		for s := range ch {
			switch {
			case s == unix.SIGTSTP:
				stopUntilContinued(job)
			case canceled:
				_ = job.Signal(unix.SIGKILL) // it may be gone already
			default:
				canceled = true
				cancel(canceledBy{s.(unix.Signal)})
			}
		}
	}()
	return ready
}

// stopUntilContinued stops jailrun as SIGTSTP would have, and the job with it.
func stopUntilContinued(job controller) {
	if sid, err := unix.Getsid(0); err == nil && sid == unix.Getpid() {
		return // a session leader has no shell that could continue it; the kernel would not stop it either
	}
	_ = job.Suspend(true) // a job that has just ended is no reason to stay
	// SIGSTOP, because Go does not give SIGTSTP its default action back. To
	// this very thread, so that we do not stop a moment later.
	runtime.LockOSThread()
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
	runtime.UnlockOSThread()
	_ = job.Suspend(false)
}
