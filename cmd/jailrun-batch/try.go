package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jailrun/jailrun/cmd/internal/sibling"
	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
	"github.com/jailrun/jailrun/jobspec/schedule"
	"github.com/jailrun/jailrun/sandbox"
)

// tryAll makes sure that every job can be launched here: that it fits, and that
// its sandbox and its network can be had, which is tried once for each kind.
func (w *workplace) tryAll(b *jobspec.Batch, budget *schedule.Budget) error {
	known := batch.Shapes{}
	for _, j := range b.Jobs {
		if err := budget.Fits(batch.Claim(j)); err != nil {
			return fmt.Errorf("%s: %w", j.ID, err)
		}
		if err := known.Try(j, w.load, w.try); err != nil {
			if field, ok := errors.AsType[*sandbox.FieldError](err); ok {
				err = field
			}
			return fmt.Errorf("%s: %w", j.ID, err)
		}
	}
	return nil
}

func (w *workplace) try(s sandbox.Spec, asked []string) error {
	if asked != nil {
		if err := sibling.NewNetwork(asked).Check(context.Background()); err != nil {
			return fmt.Errorf("net: %w", err)
		}
	}
	err := plan(s)
	for range 1 + len(s.Layers) {
		source := inFile(err)
		if source == "" {
			break
		}
		// It is imported now: no job waits for it later.
		if w.check {
			return nil
		}
		if _, ierr := sibling.Importer(w.quiet)(context.Background(), source); ierr != nil {
			return fmt.Errorf("%s: %w", source, ierr)
		}
		err = plan(s)
	}
	return err
}

// inFile is the image or layer that lies in a file and is not imported; "" if err
// is about something else.
func inFile(err error) string {
	field, ok := errors.AsType[*sandbox.FieldError](err)
	switch {
	case !ok || !errors.Is(err, fs.ErrNotImported):
		return ""
	case field.Field == "layer":
		return "tar:" + field.Value
	case strings.Contains(field.Value, "/"):
		return field.Value
	}
	return ""
}

func plan(s sandbox.Spec) error {
	_, err := (&sandbox.Cmd{Spec: s}).Plan()
	return err
}

// network is the network of one run.
func network(asked []string) sandbox.Network { return sibling.NewNetwork(asked) }

// hintOf is what an error itself says to do.
func hintOf(err error) string {
	if e, ok := errors.AsType[*sibling.Error](err); ok {
		return e.Hint()
	}
	return ""
}

// profiles are the system call filters that a job file brings along, each
// compiled once.
type profiles struct {
	mu    sync.Mutex
	known map[string]*sandbox.Filter
}

func (p *profiles) load(path string) (*sandbox.Filter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.known[path]; f != nil {
		return f, nil
	}
	f, err := sibling.Profile(path)
	if err != nil {
		return nil, err
	}
	if p.known == nil {
		p.known = map[string]*sandbox.Filter{}
	}
	p.known[path] = f
	return f, nil
}
