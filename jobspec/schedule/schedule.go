// Package schedule decides which job starts next, and on which CPU. It is
// pure: who starts jobs tells it what is ready and what is over.
//
// Jobs start in the order of their priority, then of the batch. The head of
// the queue waits until it fits, and nobody overtakes it: a large job among
// many small ones is never starved. The sum of the memory and CPU limits of
// the jobs that run never exceeds the budget.
package schedule

import (
	"container/heap"
	"fmt"
	"slices"
)

// A Budget is what jobs may use together.
type Budget struct {
	Slots  int   // jobs at a time
	Memory int64 // bytes; 0 means not bounded
	CPU    int64 // thousandths of a CPU; 0 means not bounded
	CPUs   []int // that may be given to a job alone
}

// A Claim is what one job may use: its limits. A zero field is no claim.
type Claim struct {
	Memory, CPU int64
	Pin         bool // wants a CPU of its own
	Priority    int
	Slots       int // processes side by side, as in an interaction; 0 is one
}

// Fits says why a claim can never be met, nil if it can.
func (b *Budget) Fits(c Claim) error {
	switch {
	case b.Memory > 0 && c.Memory > b.Memory:
		return fmt.Errorf("wants %d MiB of memory, and %d MiB is all there is", c.Memory>>20, b.Memory>>20)
	case b.CPU > 0 && c.CPU > b.CPU:
		return fmt.Errorf("wants %g CPUs, and %g is all there is", float64(c.CPU)/1000, float64(b.CPU)/1000)
	case c.Pin && len(b.CPUs) == 0:
		return fmt.Errorf("wants a CPU of its own, and there is none to give")
	}
	return nil
}

// A Queue holds the jobs that are ready. It is not safe for concurrent use.
type Queue struct {
	budget Budget
	claims []Claim
	ready  readyHeap
	used   Claim // Memory, CPU and Slots of what runs
	free   []int // CPUs
	given  map[int]int
}

// New returns a queue for jobs with these claims, none of which is ready yet.
// Each must fit the budget.
func New(b Budget, claims []Claim) *Queue {
	free := slices.Clone(b.CPUs)
	slices.Reverse(free) // taken from the end
	return &Queue{budget: b, claims: claims, ready: readyHeap{claims: claims}, free: free, given: map[int]int{}}
}

// Ready adds a job.
func (q *Queue) Ready(job int) { heap.Push(&q.ready, job) }

// Next takes the job that starts now and the CPU it gets, -1 for none; ok is
// false if none can start before another ends.
func (q *Queue) Next() (job, cpu int, ok bool) {
	if len(q.ready.jobs) == 0 {
		return 0, -1, false
	}
	job = q.ready.jobs[0]
	c := q.claims[job]
	slots := max(c.Slots, 1)
	switch {
	// More slots than there are may be asked for by an interaction: alone it
	// always starts.
	case q.used.Slots > 0 && q.used.Slots+slots > q.budget.Slots,
		q.budget.Memory > 0 && q.used.Memory+c.Memory > q.budget.Memory,
		q.budget.CPU > 0 && q.used.CPU+c.CPU > q.budget.CPU,
		c.Pin && len(q.free) == 0:
		return 0, -1, false
	}
	heap.Pop(&q.ready)
	q.used.Slots += slots
	q.used.Memory += c.Memory
	q.used.CPU += c.CPU
	cpu = -1
	if c.Pin {
		cpu = q.free[len(q.free)-1]
		q.free = q.free[:len(q.free)-1]
		q.given[job] = cpu
	}
	return job, cpu, true
}

// Done gives back what a job that Next returned has used.
func (q *Queue) Done(job int) {
	c := q.claims[job]
	q.used.Slots -= max(c.Slots, 1)
	q.used.Memory -= c.Memory
	q.used.CPU -= c.CPU
	if cpu, pinned := q.given[job]; pinned {
		q.free = append(q.free, cpu)
		delete(q.given, job)
	}
}

// readyHeap is ordered by priority, then by number.
type readyHeap struct {
	jobs   []int
	claims []Claim
}

func (h *readyHeap) Len() int { return len(h.jobs) }

func (h *readyHeap) Less(i, j int) bool {
	a, b := h.jobs[i], h.jobs[j]
	if p, q := h.claims[a].Priority, h.claims[b].Priority; p != q {
		return p > q
	}
	return a < b
}

func (h *readyHeap) Swap(i, j int) { h.jobs[i], h.jobs[j] = h.jobs[j], h.jobs[i] }

func (h *readyHeap) Push(x any) { h.jobs = append(h.jobs, x.(int)) }

func (h *readyHeap) Pop() any {
	last := h.jobs[len(h.jobs)-1]
	h.jobs = h.jobs[:len(h.jobs)-1]
	return last
}
