package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jailrun/jailrun/fs/outfile"
	"github.com/jailrun/jailrun/fs/transfer"
)

// A Change is one line of Spec.Diff.
type Change = transfer.Change

// An output is a file or directory of the caller's that receives the job's
// files. Its directory is held from before the job starts.
type output struct {
	what  string
	place string // inside
	name  string // outside
	tar   bool
	to    *outfile.File // nil once it is done
}

// openOutputs opens what the job's files will be written to, before anything
// else: an old result must not pass for one of this run, and a job that may
// write there must not lead us elsewhere.
func (r *run) openOutputs() error {
	s := &r.cmd.Spec
	open := func(o output, tree bool) (err error) {
		if tree {
			o.to, err = outfile.OpenTree(o.name)
		} else {
			o.to, err = outfile.Open(o.name, false)
		}
		if err == nil {
			r.outputs = append(r.outputs, o)
			return nil
		}
		return &FieldError{o.what, o.name, err}
	}
	// The comparison comes first: a copy may go to what it compares with.
	if s.Diff != "" {
		if err := open(output{what: "diff", name: s.Diff}, false); err != nil {
			return err
		}
	}
	if s.ExportLayer != "" {
		if err := open(output{what: "export-layer", name: s.ExportLayer}, false); err != nil {
			return err
		}
	}
	for i := range s.CopyOut {
		c := &s.CopyOut[i]
		place, _ := c.source()
		o := output{what: "copy-out", place: place, name: c.target(), tar: c.tar()}
		for _, other := range r.outputs {
			if filepath.Clean(other.name) == filepath.Clean(o.name) {
				return fieldError("copy-out", o.name, "is named twice")
			}
		}
		if err := open(o, !o.tar); err != nil {
			return err
		}
	}
	return nil
}

// closeOutputs lets go of what has not been written.
func (r *run) closeOutputs() {
	for i := range r.outputs {
		if o := &r.outputs[i]; o.to != nil {
			o.to.Discard()
			o.to = nil
		}
	}
}

// collectPatience is how long a server may take to hand out the job's files.
const collectPatience = 2 * time.Minute

// collect writes the outputs, when every process of the job is dead. It reports
// each, and returns the first error.
func (r *run) collect() ([]Collected, error) {
	defer r.closeOutputs()
	if r.kept == nil || len(r.outputs) == 0 {
		return nil, nil
	}
	k := r.kept
	if r.servers != nil {
		// What reads from a server that does not answer cannot be ended otherwise.
		guard := time.AfterFunc(collectPatience, r.killServers)
		defer guard.Stop()
	}
	reader := &transfer.Reader{Root: k.root, Inside: k.enter}
	left := r.bounds()
	var done []Collected
	var first error
	for i := range r.outputs {
		o := &r.outputs[i]
		c, err := r.write(o, reader, left)
		left.Bytes -= c.Bytes
		left.Entries = max(0, left.Entries-c.Files)
		if err != nil {
			c.Error = printable(err.Error())
			if first == nil {
				first = &FieldError{o.what, o.name, err}
			}
		}
		done = append(done, c)
	}
	return done, errors.Join(first, k.leave())
}

func (r *run) write(o *output, reader *transfer.Reader, b transfer.Bounds) (Collected, error) {
	c := Collected{What: o.what, Source: o.place, Target: o.name}
	to := o.to
	o.to = nil // it ends here, either way
	var copied transfer.Copied
	var err error
	if o.what == "copy-out" && !o.tar {
		copied, err = reader.CopyOut(o.place, to, b)
	} else if err = to.Create(); err == nil {
		switch o.what {
		case "copy-out":
			copied, err = reader.Tar(o.place, to.F, b)
		case "export-layer":
			copied, err = r.exportLayer(to.F, reader, b)
		case "diff":
			copied.Files, err = r.diff(to.F, reader)
		}
		if err == nil {
			err = to.Commit()
		} else {
			to.Discard()
		}
	} else {
		to.Discard()
	}
	c.Files, c.Bytes, c.Skipped = copied.Files, copied.Bytes, copied.Skipped.Count
	for _, why := range copied.Skipped.First {
		c.Why = append(c.Why, printable(why))
	}
	return c, err
}

// exportLayer writes the writable layer of the root.
func (r *run) exportLayer(to *os.File, reader *transfer.Reader, b transfer.Bounds) (transfer.Copied, error) {
	id := &r.plan.identity
	l := transfer.Layer{
		Inside: func(uid, gid uint32) (uint32, uint32) {
			u, _ := id.uid.ToInside(uid)
			g, _ := id.gid.ToInside(gid)
			return u, g
		},
		Without: map[string]bool{},
	}
	for _, m := range r.plan.root.Extra {
		l.Without[strings.TrimPrefix(m.Target, "/")] = true
	}
	return l.Export(&transfer.Area{Place: "/", Upper: r.kept.rootUpper}, reader, to, b)
}

// diff writes what the job has changed, a JSON object a line.
func (r *run) diff(to *os.File, reader *transfer.Reader) (lines int, err error) {
	b := bufio.NewWriterSize(to, 64<<10)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	for i := range r.kept.areas {
		err := r.kept.areas[i].Diff(reader, r.noteBounds(), func(c Change) error {
			lines++
			return e.Encode(c)
		})
		if err != nil {
			return lines, err
		}
	}
	return lines, b.Flush()
}
