package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox"
)

// Replay names what a run can be repeated by, and what it depended on.
type Replay struct {
	Job     json.RawMessage           `json:"job"`               // as in a job file
	Inputs  map[jobspec.Output]string `json:"inputs,omitempty"`  // SHA-256 of what came from other jobs
	Stdin   string                    `json:"stdin,omitempty"`   // SHA-256
	Answer  string                    `json:"answer,omitempty"`  // SHA-256
	Program string                    `json:"program,omitempty"` // SHA-256 of the file that was executed, where it is known
	Root    string                    `json:"root"`              // of the image's id, or of the times of the root's directories of programs
}

// hashes remembers the hash of a host's file, by name. It may be used from
// several goroutines: one file is hashed while the others wait.
type hashes struct {
	mu    sync.Mutex
	known map[string]string
	root  map[string]string
}

// of hashes a regular file of the host's, "" if it cannot.
func (h *hashes) of(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sum, ok := h.known[name]; ok {
		return sum
	}
	sum := ""
	if f, err := os.Open(name); err == nil {
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
			d := sha256.New()
			if _, err := io.Copy(d, f); err == nil {
				sum = hex.EncodeToString(d.Sum(nil))
			}
		}
		f.Close()
	}
	h.known[name] = sum
	return sum
}

// identity is rootIdentity, hashed, once for each root; "" if there is none.
func (h *hashes) identity(root string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.root[root] == "" {
		text, err := rootIdentity(root)
		if err != nil {
			return ""
		}
		sum := sha256.Sum256([]byte(text))
		h.root[root] = hex.EncodeToString(sum[:])
	}
	return h.root[root]
}

// replay describes the run.
func (a *attempt) replay() (*Replay, error) {
	fields, err := a.job.Fields()
	if err != nil {
		return nil, err
	}
	p := &Replay{Job: fields, Inputs: a.sources, Root: a.hashes.identity(a.spec.Rootfs)}
	p.Stdin, p.Answer = a.digests.files[a.job.Stdin], a.digests.files[a.job.Answer]
	if a.job.Interact == nil {
		p.Program = a.programHash()
	}
	return p, nil
}

// programHash hashes the file that is executed, where it is a file of the
// host's or an input; "" for others.
func (a *attempt) programHash() string {
	j, s := a.job, &a.spec
	name := s.Args[0]
	if strings.Contains(name, "/") {
		place := j.Place(name)
		for target, o := range j.Inputs {
			if j.Place(target) == place {
				return a.sources[o]
			}
		}
		if rest, ok := strings.CutPrefix(place, sandbox.WorkDir+"/"); ok && s.CWD != sandbox.CWDNone {
			return a.hashes.of(filepath.Join(s.Dir, rest))
		}
		if !filepath.IsAbs(name) || s.Rootfs != "" && s.Rootfs != "host" {
			return ""
		}
		return a.hashes.of(name)
	}
	if s.Rootfs != "" && s.Rootfs != "host" {
		return ""
	}
	for _, dir := range [...]string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if sum := a.hashes.of(filepath.Join(dir, name)); sum != "" {
			return sum
		}
	}
	return ""
}

// A Difference is something that is not what it was.
type Difference struct{ What, Was, Is string }

// Again runs the job of a record once more and tells what is different: before
// it, of what the job depends on, and after it, of what it came to. The record
// may be a stranger's: its job goes through the loader as a job file does, with
// the files and the directories of o.Load and nothing else.
func Again(o Options, record *Record, run func(Options) (*Summary, error)) (before, after []Difference, again *Record, err error) {
	was := record.Entry.Replay
	if was == nil || len(was.Job) == 0 {
		return nil, nil, nil, errors.New("the result holds no job; only those of jailrun batch and judge do")
	}
	const name = ".jailrun-replay.json"
	o.Load.FS = jobspec.Overlay{FS: o.Load.FS, More: map[string][]byte{
		name: slices.Concat([]byte(`{"jobs": {"replay": `), was.Job, []byte("}}")),
	}}
	o.Sources, o.Fresh = was.Inputs, true
	o.Load.Detached = true
	if o.Batch, err = jobspec.Load(name, o.Load); err != nil {
		return nil, nil, nil, err
	}
	o.Result = func(line []byte) {
		var r Record
		if err = json.Unmarshal(line, &r); err == nil {
			again = &r
		}
	}
	sum, rerr := run(o)
	if err = errors.Join(err, rerr); err != nil {
		return nil, nil, nil, err
	}
	if again == nil || sum.Drained {
		return nil, nil, nil, errors.New("interrupted")
	}
	is := again.Entry.Replay
	before = differences("jailrun", record.Jailrun, again.Jailrun, "kernel", record.Kernel, again.Kernel,
		"root", was.Root, is.Root, "program", was.Program, is.Program,
		"standard input", was.Stdin, is.Stdin, "answer", was.Answer, is.Answer, "tier", string(record.Tier), string(again.Tier))
	after = differences("verdict", string(record.Entry.Code), string(again.Entry.Code),
		"end", ending(record.Result), ending(again.Result),
		"stdout", sumOf(record.Entry.Stdout), sumOf(again.Entry.Stdout), "stderr", sumOf(record.Entry.Stderr), sumOf(again.Entry.Stderr))
	return before, after, again, nil
}

// differences takes threes: what, was, is.
func differences(threes ...string) []Difference {
	var all []Difference
	for i := 0; i < len(threes); i += 3 {
		if threes[i+1] != threes[i+2] {
			all = append(all, Difference{threes[i], threes[i+1], threes[i+2]})
		}
	}
	return all
}

func ending(r *sandbox.Result) string {
	switch {
	case r.ExitCode != nil:
		return fmt.Sprintf("%s %d", r.Verdict, *r.ExitCode)
	case r.Signal != nil:
		return fmt.Sprintf("%s by signal %d", r.Verdict, *r.Signal)
	}
	return string(r.Verdict)
}

func sumOf(t *Text) string {
	if t == nil {
		return ""
	}
	return t.SHA256
}
