package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/check"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// An attempt is one job on its way. It reads what the runner made before jobs
// ran and changes nothing of it.
type attempt struct {
	*runner
	turn
	job   *jobspec.Instance
	spec  sandbox.Spec // without inputs; of an interaction, what its sides share
	entry Entry
	out   *spool
	err   *spool
	temp  string // directory for what the job leaves; "" if it leaves nothing
}

// run runs one job, judges it and returns its record. The error is of the
// batch: its own files cannot be read or written.
func (r *runner) run(t turn) (*Record, error) {
	a := &attempt{runner: r, turn: t, job: r.o.Batch.Jobs[t.job], entry: r.entry(t.job)}
	res, err := a.carryOut()
	a.entry.End = time.Now()
	if err == nil && a.entry.Code != "" {
		a.entry.Replay, err = a.replay()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.job.ID, err)
	}
	return &Record{Result: res, Entry: a.entry}, nil
}

func (a *attempt) carryOut() (res *sandbox.Result, err error) {
	if a.spec, err = a.job.Spec(a.o.Load); err != nil {
		return nil, err
	}
	a.spec.CopyIn = slices.Clip(a.spec.CopyIn) // each launch appends its own
	if a.job.Interact != nil {
		return a.interact()
	}
	return a.single()
}

// entry is the part of a job's record that is known before it runs.
func (r *runner) entry(job int) Entry {
	j := r.o.Batch.Jobs[job]
	now := time.Now()
	return Entry{ID: j.ID, Job: j.Family, Case: j.Case, Axes: j.Axes, Digest: r.digests.done[job], Start: now, End: now}
}

// single runs a job with one program.
func (a *attempt) single() (*sandbox.Result, error) {
	if key := a.cacheKey(); key != "" {
		if outputs := a.store.cached(key); outputs != nil {
			res := unrun(a.job.Run, sandbox.Exited)
			res.ExitCode = new(int)
			res.Cause = "outputs of an earlier run"
			a.entry.Cached, a.entry.Outputs = true, outputs
			a.entry.judge(a.job, jobspec.Accepted, check.Finding{OK: true})
			return res, nil
		}
	}
	res, err := a.attempts()
	defer a.clean()
	if err != nil || res.Verdict == sandbox.Canceled {
		return res, err
	}
	c, why := code(res)
	finding := check.Finding{OK: true, Message: why}
	if c == jobspec.Accepted {
		if c, finding, err = a.look(); err != nil {
			return nil, err
		}
	}
	if c == jobspec.Accepted {
		if why := a.collect(); why != "" {
			c, finding = jobspec.RuntimeError, check.Finding{Message: why}
		} else if key := a.cacheKey(); key != "" {
			if err := a.store.remember(key, a.entry.Outputs); err != nil {
				return nil, err
			}
		}
	}
	a.entry.Stdout, a.entry.Stderr = a.out.text(), a.err.text()
	a.entry.judge(a.job, c, finding)
	return res, nil
}

// attempts launches the job until jailrun itself has not failed, or as often
// as retry allows. With repeat it runs again as long as it exits.
func (a *attempt) attempts() (*sandbox.Result, error) {
	retries, repeat := 0, 1
	if a.job.Retry != nil {
		retries = int(*a.job.Retry)
	}
	if a.job.Repeat != nil {
		repeat = int(*a.job.Repeat)
	}
	var all []*sandbox.Result
	for {
		a.clean()
		res, err := a.launch()
		if err != nil {
			return nil, err
		}
		broken := res.Verdict == sandbox.ErrorVerdict || res.Verdict == sandbox.Killed
		if broken && retries > 0 && a.ctx.Err() == nil {
			retries--
			a.entry.Attempts = max(a.entry.Attempts, 1) + 1
			continue
		}
		all = append(all, res)
		if len(all) == repeat || res.Verdict != sandbox.Exited || a.ctx.Err() != nil {
			if repeat > 1 {
				res.Repeat = sandbox.SumUp(all)
			}
			return res, nil
		}
	}
}

// clean lets go of what the last launch left.
func (a *attempt) clean() {
	if a.out != nil {
		a.out.close()
		a.err.close()
	}
	if a.temp != "" {
		_ = os.RemoveAll(a.temp) // below tmp, which the next batch sweeps
		a.temp = ""
	}
}

// launch runs the job once.
func (a *attempt) launch() (*sandbox.Result, error) {
	a.out, a.err = newSpool(a.store.tmp()), newSpool(a.store.tmp())
	c := &sandbox.Cmd{Spec: a.spec, Stdout: a.out, Stderr: a.err}
	c.Noise = a.job.Noise != nil && *a.job.Noise
	if err := a.connect(c, &a.job.Flags); err != nil {
		return nil, err
	}
	a.place(&c.Spec, a.job.Inputs, a.job.Place)
	if err := a.askOutputs(&c.Spec); err != nil {
		return nil, err
	}
	in, err := a.stdin()
	if err != nil {
		return nil, err
	}
	if in != nil {
		defer in.Close()
		c.Stdin = in
	}
	return a.launched(a.ctx, c)
}

// connect gives a Cmd the network that its flags ask for.
func (a *attempt) connect(c *sandbox.Cmd, f *jobspec.Flags) error {
	asked := f.Network()
	switch {
	case asked == nil:
	case a.o.Network == nil:
		return errors.New("net: there is nobody here who makes a network")
	default:
		c.Network = a.o.Network(asked)
	}
	return nil
}

// launched runs a Cmd. That jailrun failed is a result like any other.
func (a *attempt) launched(ctx context.Context, c *sandbox.Cmd) (*sandbox.Result, error) {
	if a.cpu >= 0 {
		a.entry.CPU = &a.cpu
	}
	argv := c.Args
	c.ImportImage = a.o.ImportImage
	res, err := a.launcher.run(ctx, c, a.cpu)
	if res == nil {
		res = unrun(argv, sandbox.ErrorVerdict)
		res.Error = &sandbox.ErrorReport{Stage: "launch", Text: plain.Printable(err.Error())}
	}
	return res, nil
}

// stdin opens what the job reads; nil for nothing.
func (a *attempt) stdin() (io.ReadCloser, error) {
	switch {
	case a.job.Input != nil:
		return io.NopCloser(strings.NewReader(*a.job.Input)), nil
	case a.job.Stdin == "" || a.job.Stdin == "null":
		return nil, nil
	}
	return a.open(a.job.Stdin)
}

// open opens a file beside the job file.
func (a *attempt) open(name string) (io.ReadCloser, error) {
	return a.o.Load.FS.Open(strings.TrimPrefix(name, "./"))
}

// answer opens the expected output; nil if there is none.
func (a *attempt) answer() (io.ReadCloser, error) {
	switch {
	case a.job.AnswerText != nil:
		return io.NopCloser(strings.NewReader(*a.job.AnswerText)), nil
	case a.job.Answer == "":
		return nil, nil
	}
	return a.open(a.job.Answer)
}

// look judges the output of a job that ended well.
func (a *attempt) look() (jobspec.Code, check.Finding, error) {
	c := a.job.Check
	if c == nil {
		return jobspec.Accepted, check.Finding{OK: true}, nil
	}
	answer, err := a.answer()
	if err != nil {
		return "", check.Finding{}, err
	}
	if answer != nil {
		defer answer.Close()
	}
	if c.Checker == "program" {
		return a.program(c, answer)
	}
	f, err := check.Compare(c, a.out.reader(), answer)
	if err != nil {
		return jobspec.Internal, check.Finding{Message: "the checker failed: " + err.Error()}, nil
	}
	return jobspec.Accepted, f, nil
}
