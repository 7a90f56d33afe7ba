package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
	"github.com/jailrun/jailrun/jobspec/report"
)

// reports are the files that a batch writes for others.
type reports struct {
	*options
	results *bufio.Writer
	file    *os.File
	err     error
}

// openReports opens what is written while the batch runs.
func openReports(o *options) (*reports, error) {
	r := &reports{options: o}
	switch o.results {
	case "":
	case "-":
		r.file = os.Stdout
	default:
		f, err := os.OpenFile(o.results, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
		if err != nil {
			return nil, err
		}
		r.file = f
	}
	if r.file != nil {
		r.results = bufio.NewWriterSize(r.file, 64<<10)
	}
	return r, nil
}

// result passes a record on at once: who reads it may wait for it.
func (r *reports) result(line []byte) {
	if r.results == nil || r.err != nil {
		return
	}
	_, err := r.results.Write(line)
	if err == nil {
		err = r.results.WriteByte('\n')
	}
	if err == nil {
		err = r.results.Flush()
	}
	r.err = err
}

// finish writes the reports of the whole batch.
func (r *reports) finish(b *jobspec.Batch, s *batch.Summary, t *batch.Total) error {
	err := r.err
	if r.file != nil && r.file != os.Stdout {
		err = errors.Join(err, r.file.Close())
	}
	data := report.New(b, s, t)
	for _, x := range [...]struct {
		to    string
		write func(io.Writer, *report.Data) error
	}{{r.junit, report.JUnit}, {r.tap, report.TAP}, {r.html, report.HTML}} {
		if x.to != "" {
			err = errors.Join(err, writeReport(x.to, data, x.write))
		}
	}
	if r.github {
		err = errors.Join(err, report.GitHub(os.Stdout, data))
	}
	return err
}

// writeReport puts a report in its place when it is whole.
func writeReport(name string, data *report.Data, write func(io.Writer, *report.Data) error) error {
	if name == "-" {
		return write(os.Stdout, data)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".jailrun-report-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its name
	b := bufio.NewWriter(f)
	err = errors.Join(write(b, data), b.Flush(), f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
