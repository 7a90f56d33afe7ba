package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jailrun/jailrun/cmd/internal/sibling"
	"github.com/jailrun/jailrun/jobspec/batch"
	"github.com/jailrun/jailrun/sandbox/plain"
)

const replayHelp = `jailrun replay runs a recorded job again and prints what is different.

  jailrun replay [flags] RESULT.json

RESULT.json is a result of jailrun batch or judge, or a file of --results.

  --job ID              which job, where the file holds more than one
  --dir DIR             where the files that the job names lie (default .)
  --allow DIR[:rw]      the job may be shown DIR, which lies elsewhere
  --state DIR           state directory, which holds what other jobs have left
  --results FILE|-      the new result
  -q, --quiet           print differences of the outcome only

Exit status: 0 the same came of it, 1 something else, 125 jailrun failed.
`

func replay(args []string) int {
	o, err := parse("replay", replayHelp, args)
	if err != nil {
		return usage(o, err)
	}
	if len(o.files) != 1 {
		return fail(fmt.Errorf("want one file with a result, got %d", len(o.files)), "jailrun replay RESULT.json")
	}
	record, err := findRecord(o.files[0], o.job)
	if err != nil {
		return fail(err, "")
	}
	w, err := open(o, o.dir)
	if err != nil {
		return fail(err, "")
	}
	defer w.close()
	budget, err := w.budget()
	if err != nil {
		return fail(err, "")
	}
	state, err := stateDir(o.state)
	if err != nil {
		return fail(err, "")
	}
	ctx, drain, stop := watchSignals()
	defer stop()
	before, after, again, err := batch.Again(
		batch.Options{
			Load: w.load, Budget: budget, State: state, Evacuate: true, Cold: true, Drain: drain,
			Network: network, ImportImage: sibling.Importer(o.quiet),
		}, record,
		func(o batch.Options) (*batch.Summary, error) {
			w.load = o.Load // with the record's job in it
			if err := w.tryAll(o.Batch, &budget); err != nil {
				return nil, err
			}
			return batch.Run(ctx, o)
		})
	if err != nil {
		return fail(err, hintOf(err))
	}
	return concludeReplay(o, record, again, before, after)
}

// concludeReplay prints what was not as before.
func concludeReplay(o *options, was, is *batch.Record, before, after []batch.Difference) int {
	for _, d := range before {
		if !o.quiet {
			say("not as before: %s was %s, is %s", d.What, orNone(d.Was), orNone(d.Is))
		}
	}
	for _, d := range after {
		say("came out differently: %s was %s, is %s", d.What, orNone(d.Was), orNone(d.Is))
	}
	if o.results != "" {
		out, err := openReports(o)
		if err != nil {
			return fail(err, "")
		}
		line, err := json.Marshal(is)
		if err == nil {
			out.result(line)
			err = out.err
		}
		if err != nil {
			return fail(err, "")
		}
	}
	if !o.quiet {
		say("%s: %s, as %s; wall %s, was %s; CPU %s, was %s", was.Entry.ID, is.Entry.Code, same(len(after)),
			is.Wall, was.Wall, cpuOf(is), cpuOf(was))
	}
	if len(after) > 0 {
		return exitNotPassed
	}
	return exitPassed
}

func same(differences int) string {
	if differences == 0 {
		return "before"
	}
	return "it is now"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func cpuOf(r *batch.Record) string {
	if r.Result.CPU == nil {
		return "unknown"
	}
	return r.Result.CPU.Total.String()
}

// findRecord reads the record of a job out of a file with one a line.
func findRecord(name, id string) (*batch.Record, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found *batch.Record
	var names []string
	d := json.NewDecoder(bufio.NewReader(io.LimitReader(f, 1<<30)))
	for {
		var r batch.Record
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if r.Result != nil && r.Entry.ID != "" && (id == "" || id == r.Entry.ID) {
			found = &r
			names = append(names, r.Entry.ID)
		}
	}
	switch {
	case found == nil && id != "":
		return nil, fmt.Errorf("%s holds no result of a job %s", name, plain.Printable(id))
	case found == nil:
		return nil, fmt.Errorf("%s holds no result of jailrun batch or judge", name)
	case id == "" && len(names) > 1:
		return nil, fmt.Errorf("%s holds %d results; choose with --job, as --job %s", name, len(names), names[0])
	}
	return found, nil
}
