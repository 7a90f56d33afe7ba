package batch

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox"
)

// place puts outputs of other jobs into a spec.
func (a *attempt) place(s *sandbox.Spec, inputs map[string]jobspec.Output, at func(string) string) {
	for _, target := range slices.Sorted(maps.Keys(inputs)) {
		if sum := a.sources[inputs[target]]; sum != "" {
			copyIn(s, a.store.path(sum), at(target))
		}
	}
}

// askOutputs lets the sandbox collect what the job is to leave.
func (a *attempt) askOutputs(s *sandbox.Spec) (err error) {
	if len(a.job.Outputs) == 0 {
		return nil
	}
	if a.temp, err = a.store.temp(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.job.Outputs)) {
		copyOut(s, a.job.Place(a.job.Outputs[name]), filepath.Join(a.temp, name))
	}
	return nil
}

// collect takes the outputs into the store; why is what is missing.
func (a *attempt) collect() (why string) {
	outputs := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(a.job.Outputs)) {
		sum, err := a.store.addFile(filepath.Join(a.temp, name))
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Sprintf("it left no %s for the output %s", a.job.Outputs[name], name)
		}
		if err != nil {
			return "the output " + name + ": " + err.Error()
		}
		outputs[name] = sum
	}
	for name, s := range map[string]*spool{a.job.Stdout: a.out, a.job.Stderr: a.err} {
		if name == "" {
			continue
		}
		sum, err := a.store.add(s.reader())
		if err != nil {
			return "the output " + name + ": " + err.Error()
		}
		outputs[name] = sum
	}
	if len(outputs) > 0 {
		a.entry.Outputs = outputs
	}
	return ""
}
