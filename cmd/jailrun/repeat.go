package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// A liveJob is the run under way, for signals.
type liveJob struct{ cmd atomic.Pointer[sandbox.Cmd] }

func (l *liveJob) Signal(s unix.Signal) error {
	if c := l.cmd.Load(); c != nil {
		return c.Signal(s)
	}
	return nil
}

func (l *liveJob) Suspend(on bool) error {
	if c := l.cmd.Load(); c != nil {
		return c.Suspend(on)
	}
	return nil
}

// makeRuns runs the job as often as was asked, one run after the other, and
// returns the result of the last one with what they had in common. A run that
// does not exit by itself is the last.
func makeRuns(ctx context.Context, req *request, files *stdio, newCmd func() *sandbox.Cmd, live *liveJob) (*sandbox.Result, error) {
	var all []*sandbox.Result
	for {
		c := newCmd()
		live.cmd.Store(c)
		r, err := c.Run(ctx)
		if req.repeat <= 1 {
			return r, err
		}
		all = append(all, r)
		if err == nil && len(all) < req.repeat && r.Verdict == sandbox.Exited {
			if err = files.rewind(); err == nil {
				continue
			}
		}
		r.Repeat = sandbox.SumUp(all)
		return r, err
	}
}

// rewind lets the next run read --stdin from its beginning.
func (s *stdio) rewind() error {
	if s.input == nil {
		return nil
	}
	if _, err := s.input.Seek(0, io.SeekStart); err != nil {
		return flagError("repeat", errors.New("--stdin cannot be read a second time: "+err.Error()))
	}
	return nil
}

func (r *request) setRepeat(value string) (err error) {
	r.repeat, err = count(value, "", 1_000_000)
	return err
}

// checkRepeat settles where the runs read from: a stream can be read only once.
func (r *request) checkRepeat(w *words) error {
	switch {
	case r.repeat <= 1 || r.stdin != "":
	case w.has("i"):
		return &usageError{text: "--repeat cannot pass stdin on to more than one run", hint: "give the runs a --stdin FILE, or -n"}
	default:
		r.stdin = noStdin
	}
	return nil
}

func repeatText(rep *sandbox.RepeatReport) string {
	text := strconv.Itoa(rep.Runs) + " runs"
	spread := func(name string, s *sandbox.Spread, unit func(int64) string) {
		if s != nil {
			text += ", " + name + " " + unit(s.Median) + " ± " + unit(s.MAD) + " (least " + unit(s.Min) + ")"
		}
	}
	nanoseconds := func(n int64) string { return milliseconds(time.Duration(n)) }
	spread("wall", rep.Wall, nanoseconds)
	spread("cpu", rep.CPU, nanoseconds)
	spread("memory", rep.Memory, func(n int64) string { return limits.Size(n).Human() })
	return text + "; median ± median deviation"
}

func noiseText(n *sandbox.NoiseReport) string {
	if n.Reasons == nil {
		return "noise: " + n.Confidence
	}
	return "noise: " + n.Confidence + ": " + strings.Join(n.Reasons, ", ")
}
