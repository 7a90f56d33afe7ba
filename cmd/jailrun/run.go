package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/cmd/internal/sibling"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// runJob is the straight line: what was asked, the job, what became of it.
// wrong is what the command line had wrong, if anything; a result file that it
// names says so too.
func runJob(say *console, asked *words, wrong error) int {
	file, err := begin(asked)
	err = cmp.Or(wrong, err)
	var r *sandbox.Result
	var by unix.Signal
	if err == nil {
		r, by, err = run(say, asked)
	}
	if r == nil {
		r = refused(asked.args, err)
	}
	sayOutcome(say, r, asked)
	if err != nil { // at the end: the last line is what to do
		sayError(say, err)
	}
	if err := file.write(r); err != nil {
		sayError(say, err)
		return exitFailed
	}
	return exitCode(r, err, by)
}

// begin enters the directory of -C and opens the result, before anything else:
// an old result must not pass for one of this run, whatever fails now.
func begin(asked *words) (resultFile, error) {
	dirErr := enter(asked)
	where, ok := asked.last("result")
	if !ok || dirErr != nil && !strings.HasPrefix(where, "/") && !strings.HasPrefix(where, "fd:") {
		return resultFile{}, dirErr
	}
	file, err := openResult(where)
	return file, cmp.Or(dirErr, err)
}

// enter makes jailrun as if started in the directory of -C, for every name on
// its command line.
func enter(asked *words) error {
	dir, ok := asked.last("C")
	if !ok {
		return nil
	}
	if err := unix.Chdir(dir); err != nil {
		return flagError("C", &os.PathError{Op: "enter", Path: dir, Err: err})
	}
	return nil
}

// run runs the job. The Result is nil only if the request could not be made
// out; by is the signal that stands for who canceled the run, or 0.
func run(say *console, asked *words) (r *sandbox.Result, by unix.Signal, err error) {
	req, err := newRequest(asked)
	if err == nil {
		err = req.loadProfile()
	}
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	files, err := openStdio(req, cancel)
	if err != nil {
		return nil, 0, err
	}
	var watched <-chan struct{}
	newCmd := func() *sandbox.Cmd {
		c := &sandbox.Cmd{Spec: req.spec, Stdin: files.in, Stdout: files.out, Stderr: files.err, LeaveInit: req.repeat <= 1, Noise: req.noise}
		// This process may be moved into a leaf of its own group, so that the
		// kernel can hold limits below it.
		c.Evacuate = true
		c.ForkAhead = true
		c.ImportImage = sibling.Importer(say.quiet)
		c.BeforeClone = func() { <-watched }
		c.TraceStartup = asked.has("trace-startup")
		c.Network = req.network()
		if say.verbose {
			c.Trace = say.event
		}
		return c
	}
	var live liveJob
	watched = watchSignals(cancel, &live)
	r, err = makeRuns(ctx, req, files, newCmd, &live)
	if _, ok := errors.AsType[lostOutput](err); ok {
		err = nil // the cancel tells it, if none came before
	}
	by, lost := whoCanceled(context.Cause(ctx))
	return r, by, cmp.Or(err, lost, files.finish())
}

// whoCanceled makes out of the cause of a cancel the signal for the exit code,
// or the error if it was a failure.
func whoCanceled(cause error) (unix.Signal, error) {
	if by, ok := errors.AsType[canceledBy](cause); ok {
		return by.signal, nil
	}
	lost, ok := errors.AsType[lostOutput](cause)
	switch {
	case !ok:
		return 0, nil
	case errors.Is(lost, unix.EPIPE):
		return unix.SIGPIPE, nil // as for any program in a pipe: no word about it
	}
	return 0, lost
}

// refused is the result of a run that never came to be.
func refused(argv []string, err error) *sandbox.Result {
	var random [8]byte
	_, _ = unix.Getrandom(random[:], 0) // an id of zeros names this run just as well
	report := &sandbox.ErrorReport{Stage: "flags", Text: plain.Printable(err.Error())}
	if usage, ok := errors.AsType[*usageError](err); ok {
		report.Hint = plain.Printable(usage.hint)
	}
	return &sandbox.Result{
		Version: 1, ID: hex.EncodeToString(random[:]), Jailrun: sandbox.Version,
		Kernel: kernelRelease(), StartedAt: time.Now(),
		Argv: append([]string{}, argv...), Limits: []sandbox.Enforced{},
		Verdict: sandbox.ErrorVerdict, Error: report,
	}
}

// printPlan prints what a run would do, and does nothing: it opens no file and
// removes none.
func printPlan(say *console, asked *words) int {
	err := enter(asked)
	var req *request
	if err == nil {
		req, err = newRequest(asked)
	}
	if err == nil {
		err = req.loadProfile()
	}
	if err == nil {
		c := &sandbox.Cmd{Spec: req.spec, Stdout: os.Stdout, Stderr: os.Stderr}
		if req.stdin != noStdin {
			c.Stdin = os.Stdin
		}
		c.Network = req.network()
		var plan *sandbox.Plan
		if plan, err = c.Plan(); err == nil {
			if asked.has("picture") {
				err = plan.Picture(os.Stdout)
			} else {
				err = plan.Print(os.Stdout, asked.has("show-secrets"))
			}
		}
	}
	if err != nil {
		sayError(say, err)
		return exitFailed
	}
	return 0
}
