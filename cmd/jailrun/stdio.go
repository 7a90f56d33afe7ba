package main

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs/outfile"
)

// stdio is what the job's three streams are connected to.
type stdio struct {
	in       io.Reader // nil for none
	out, err io.Writer
	files    []*outfile.File // of --stdout and --stderr
	input    *os.File        // of --stdin
}

// A lifeOutput is where an output of the job goes. A job whose output cannot
// be delivered is ended: it would run on for nobody.
type lifeOutput struct {
	w    io.Writer
	lost context.CancelCauseFunc
}

func (o *lifeOutput) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		err = lostOutput{err}
		o.lost(err)
	}
	return n, err
}

// lostOutput is that an output failed, and the cause of the cancel for it.
type lostOutput struct{ err error }

func (l lostOutput) Error() string { return l.err.Error() }

func (l lostOutput) Unwrap() error { return l.err }

// openStdio opens what the flags name. Output files come first: an old one
// must not stay when anything later fails. lost is called when an output fails
// later.
func openStdio(r *request, lost context.CancelCauseFunc) (*stdio, error) {
	s := &stdio{in: os.Stdin}
	var err error
	if s.out, err = s.output(r.stdout, os.Stdout, r.rawOutput, lost); err != nil {
		return nil, flagError("stdout", err)
	}
	if r.stderr != "" && r.stderr == r.stdout {
		s.err = s.out
	} else if s.err, err = s.output(r.stderr, os.Stderr, r.rawOutput, lost); err != nil {
		s.discard()
		return nil, flagError("stderr", err)
	}
	switch r.stdin {
	case "":
	case noStdin:
		s.in = nil
	default:
		if s.input, err = openInput(r.stdin); err != nil {
			s.discard()
			return nil, flagError("stdin", err)
		}
		s.in = s.input
	}
	return s, nil
}

func (s *stdio) output(path string, own *os.File, raw bool, lost context.CancelCauseFunc) (io.Writer, error) {
	if path == "" {
		if !raw && isTerminal(own) {
			return &lifeOutput{&termFilter{w: own}, lost}, nil
		}
		return &lifeOutput{own, lost}, nil
	}
	o, err := outfile.Open(path, true)
	if err != nil {
		return nil, err
	}
	if err := o.Create(); err != nil {
		o.Discard()
		return nil, err
	}
	s.files = append(s.files, o)
	return &lifeOutput{o.F, lost}, nil
}

func openInput(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || st.IsDir() {
		f.Close()
		return nil, errors.Join(err, errors.New(quote(path)+" is a directory"))
	}
	return f, nil
}

// finish gives the output files their names.
func (s *stdio) finish() error {
	var errs []error
	for _, o := range s.files {
		if err := o.Commit(); err != nil {
			errs = append(errs, err)
		}
	}
	s.files = nil
	s.discard()
	return errors.Join(errs...)
}

// discard closes what finish has not.
func (s *stdio) discard() {
	for _, o := range s.files {
		o.Discard()
	}
	if s.input != nil {
		_ = s.input.Close()
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (r *request) setStdin(value string) error {
	if value == "null" {
		r.stdin = noStdin
		return nil
	}
	return text(&r.stdin, value)
}
