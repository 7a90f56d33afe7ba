package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
)

// The exit codes of CLI.md that are not the job's own. A job may exit with any
// of them, so that scripts which must know read --result.
const (
	exitLimit         = 124 // a limit ended the job
	exitFailed        = 125 // jailrun failed, or was asked for what cannot be
	exitCannotExecute = 126
	exitNotFound      = 127
	exitSignal        = 128 // + the number of a signal
)

// exitCode is jailrun's exit code for what became of the job. err is what went
// wrong on our side, by the signal that made jailrun cancel; 0 if there is none.
func exitCode(r *sandbox.Result, err error, by unix.Signal) int {
	switch {
	case r.Verdict == sandbox.NotStarted && errors.Is(err, unix.ENOENT):
		return exitNotFound
	case r.Verdict == sandbox.NotStarted:
		return exitCannotExecute
	case err != nil:
		// The job may have run, but what it wrote did not arrive.
		return exitFailed
	case r.Verdict == sandbox.Exited && r.ExitCode != nil:
		return *r.ExitCode
	case r.Verdict == sandbox.Signaled && r.Signal != nil:
		return exitSignal + *r.Signal
	case r.Verdict == sandbox.Canceled && by != 0:
		return exitSignal + int(by)
	}
	switch r.Verdict {
	case sandbox.CPUTime, sandbox.WallTime, sandbox.MemoryLimit, sandbox.OutputLimit, sandbox.DiskLimit, sandbox.CPUShare:
		return exitLimit
	case sandbox.Syscall:
		return exitSignal + int(unix.SIGSYS)
	case sandbox.Killed:
		return exitSignal + int(unix.SIGKILL)
	}
	// ErrorVerdict, and anything that this program does not know.
	return exitFailed
}
