package batch

import (
	"fmt"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/schedule"
)

// prepare makes what the loop works on, and takes over what a journal holds.
func (r *runner) prepare() (err error) {
	jobs := r.o.Batch.Jobs
	if r.store, err = openStore(r.o.State); err != nil {
		return err
	}
	r.digests = newDigester(r.o.Batch, r.o.Load)
	for i := range jobs {
		if _, err := r.digests.of(i); err != nil {
			return err
		}
	}
	r.waits, r.wanted = make([]int32, len(jobs)), make([][]int32, len(jobs))
	r.state, r.failed = make([]state, len(jobs)), map[string]bool{}
	r.hashes.known, r.hashes.root = map[string]string{}, map[string]string{}
	for o, sum := range r.o.Sources {
		if !r.store.has(sum) {
			return fmt.Errorf("the input %s, %s, is not in the store any more; run the batch that makes it", o, sum)
		}
	}
	r.left = map[string]map[string]string{}
	claims := make([]schedule.Claim, len(jobs))
	for i, j := range jobs {
		claims[i] = Claim(j)
		if err := r.o.Budget.Fits(claims[i]); err != nil {
			return fmt.Errorf("%s: %w", j.ID, err)
		}
		r.waits[i] = int32(len(j.Needs))
		for _, n := range j.Needs {
			r.wanted[n] = append(r.wanted[n], int32(i))
		}
	}
	r.queue = schedule.New(r.o.Budget, claims)
	taken, err := r.openJournal()
	if err != nil {
		return err
	}
	for _, t := range taken {
		r.state[t.job] = started // neither to be started nor to be skipped
	}
	for i := range jobs {
		if r.waits[i] == 0 && r.state[i] == waiting {
			r.queue.Ready(i)
		}
	}
	for _, t := range taken {
		r.settle(t.job, t.record)
	}
	return nil
}

// Claim is what a job may use, for the schedule.
func Claim(j *jobspec.Instance) schedule.Claim {
	c := schedule.Claim{Pin: j.Pin != nil && *j.Pin}
	if j.Priority != nil {
		c.Priority = *j.Priority
	}
	add := func(f *jobspec.Flags) {
		if f.Mem != nil {
			c.Memory += int64(*f.Mem)
		}
		if f.Swap != nil {
			c.Memory += int64(*f.Swap)
		}
		if f.CPU != nil {
			c.CPU += int64(*f.CPU)
		}
	}
	if j.Interact == nil {
		add(&j.Flags)
		return c
	}
	for k := range j.Interact.Sides {
		flags := j.Interact.Sides[k].Flags.Over(j.Flags)
		add(&flags)
	}
	c.Slots = len(j.Interact.Sides)
	return c
}
