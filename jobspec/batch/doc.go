// Package batch runs a batch: it starts jobs when what they need is done and
// the machine has room, judges what they wrote, and keeps every result before
// it tells it.
//
// Each slot has a worker that launches a job, judges it, writes its record to
// the journal, settles what waited for it and takes the next one, all of the
// batch's state under one lock. From the journal a record goes, once it is on
// the disk, to whoever wants results.
//
// Decision: workers, and not one goroutine that owns the state and starts one
// more for each job. Where a job takes a few milliseconds of two busy CPUs, the
// hand-overs and the stacks that grow anew were a third of what a batch costs.
// What a job printed is kept in files without a name as soon as it is more
// than a little, so that memory does not grow with the number or the output of
// jobs.
package batch
