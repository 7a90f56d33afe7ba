package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jailrun/jailrun/jobspec/journal"
	"github.com/jailrun/jailrun/sandbox"
)

// finished is a job with its record out of a journal.
type finished struct {
	job    int
	record *Record
}

// A Header is the first line of a journal.
type Header struct {
	Batch   string    `json:"batch"`
	Version int       `json:"journal"` // 1
	Jailrun string    `json:"jailrun"`
	Jobs    int       `json:"jobs"`
	Started time.Time `json:"started"`
}

// brief is what of a record a resumed batch needs: a tenth of it.
type brief struct {
	Verdict sandbox.Verdict `json:"verdict"`
	Wall    time.Duration   `json:"wall_ns"`
	CPU     *struct {
		Total time.Duration `json:"total_ns"`
	} `json:"cpu"`
	Memory *struct {
		Peak *int64 `json:"peak"`
	} `json:"memory"`
	Entry Entry `json:"batch"`
}

func (b *brief) record() *Record {
	res := &sandbox.Result{Verdict: b.Verdict, Wall: b.Wall}
	if b.CPU != nil {
		res.CPU = &sandbox.CPUUsage{Total: b.CPU.Total}
	}
	if b.Memory != nil {
		res.Memory = &sandbox.MemoryUsage{Peak: b.Memory.Peak}
	}
	return &Record{Result: res, Entry: b.Entry}
}

// openJournal makes the journal, or takes over what one holds.
func (r *runner) openJournal() ([]finished, error) {
	if r.o.Journal == "" {
		return nil, nil
	}
	if r.o.Resume {
		taken, err := r.resume()
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return taken, err
		}
		r.note("there is no journal to resume at %s; all jobs run", r.o.Journal)
	} else if n := r.unfinished(); n > 0 {
		r.note("an unfinished run of this batch with %d results is kept as %s.old; --resume would have gone on with it", n, filepath.Base(r.o.Journal))
	}
	header, err := json.Marshal(Header{r.o.Batch.Name, 1, sandbox.Version, len(r.o.Batch.Jobs), r.sum.Start})
	if err != nil {
		return nil, err
	}
	r.journal, err = journal.Create(r.o.Journal, header, r.deliver)
	return nil, err
}

func (r *runner) note(format string, a ...any) {
	r.sum.Notes = append(r.sum.Notes, fmt.Sprintf(format, a...))
}

// unfinished counts the results of a journal that holds fewer than its jobs.
func (r *runner) unfinished() int {
	var h Header
	lines := 0
	err := journal.Read(r.o.Journal, func(line []byte) error { return json.Unmarshal(line, &h) },
		func([]byte) error { lines++; return nil })
	if err != nil || lines >= h.Jobs {
		return 0
	}
	return lines
}

// resume reads a journal twice: first which line is the last word on each job,
// then to deliver those, so that no more than one of them is held.
func (r *runner) resume() ([]finished, error) {
	index := make(map[string]int, len(r.o.Batch.Jobs))
	for i, j := range r.o.Batch.Jobs {
		index[j.ID] = i
	}
	taken := map[int]finished{}
	at := map[int]int{} // line of the record that counts, by job
	changed := map[int]bool{}
	n := 0
	var err error
	r.journal, err = journal.Resume(r.o.Journal, checkHeader, func(line []byte) error {
		n++
		var b brief
		if err := json.Unmarshal(line, &b); err != nil {
			return fmt.Errorf("%s: record %d: %w", r.o.Journal, n, err)
		}
		i, known := index[b.Entry.ID]
		if !known {
			return nil
		}
		if same, err := r.same(i, &b.Entry); !same {
			changed[i] = b.Entry.final()
			return err
		}
		changed[i] = false // whatever was before
		if !b.Entry.final() {
			return nil
		}
		taken[i], at[i] = finished{job: i, record: b.record()}, n
		return nil
	}, r.deliver)
	if err != nil {
		return nil, err
	}
	again := 0
	for i, differs := range changed {
		if _, counts := taken[i]; differs && !counts {
			again++
		}
	}
	if again > 0 {
		r.note("%d results are of jobs that have changed since; those run again", again)
	}
	lines := make(map[int]int, len(at)) // job by line
	for i, line := range at {
		lines[line] = i
	}
	order := make([]finished, 0, len(taken))
	n = 0
	err = journal.Read(r.o.Journal, checkHeader, func(line []byte) error {
		n++
		if i, counts := lines[n]; counts {
			r.deliver(line)
			order = append(order, taken[i])
		}
		return nil
	})
	r.sum.Resumed = len(order)
	return order, err
}

func checkHeader(line []byte) error {
	var h Header
	if err := json.Unmarshal(line, &h); err != nil || h.Version != 1 {
		return errors.New("is no journal of this version of jailrun")
	}
	return nil
}

// same tells whether a record is of the job as it is now, with outputs that
// are still there.
func (r *runner) same(i int, e *Entry) (bool, error) {
	digest, err := r.digests.of(i)
	if err != nil || digest != e.Digest {
		return false, err
	}
	for _, sum := range e.Outputs {
		if !r.store.has(sum) {
			return false, nil
		}
	}
	return true, nil
}
