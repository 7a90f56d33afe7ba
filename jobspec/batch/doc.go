// Package batch runs a batch: it starts jobs when what they need is done and
// the machine has room, judges what they wrote, and keeps every result before
// it tells it.
//
// One goroutine owns all state of the batch; each running job has one of its
// own that launches, judges and hands back a record. A record goes to the
// journal, and from there, once it is on the disk, to whoever wants results.
// What a job printed is kept in files without a name as soon as it is more
// than a little, so that memory does not grow with the number or the output of
// jobs.
package batch
