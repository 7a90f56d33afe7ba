package sandbox

import (
	"time"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// startup says what the launch spent its time on. Init and the job have noted
// their times in memory shared with the runner.
func (r *run) startup(begun time.Duration) *Startup {
	s := r.took
	st := r.proc.Stamp
	s.Clone = st(stampInit) - r.cloned
	if s.Pooled = r.pool != nil; !s.Pooled {
		s.Clone = st(stampInit) - r.began - s.Group
	}
	s.Root = st(stampRoot) - st(stampInit)
	s.Confine = begun - max(st(stampRoot), r.began)
	if s.Network = st(stampNet) - st(stampAwaitNet); st(stampAwaitNet) > st(stampRoot) {
		s.Confine -= s.Network
	} else {
		s.Root -= s.Network
	}
	s.Exec = max(0, r.execSeen-begun)
	if r.cmd.TraceStartup {
		s.Stages = stageTimes(r.proc.Marks(), r.began, r.cloned, begun, max(begun, r.execSeen))
	}
	return &s
}

// stageTimes turns marks into stretches, each up to the next mark of the same
// process. Init's last one ends when it opens the gate, which the job then
// passes, at released; the job's ends at running. What a pool had prepared
// begins before 0, and the job's last stretch not before it was taken.
func stageTimes(marks []prog.Mark, began, cloned, released, running time.Duration) []StageTime {
	if len(marks) == 0 {
		return nil
	}
	var list []StageTime
	if cloned >= began {
		list = append(list, StageTime{Process: "runner", Stage: "prepare", Took: cloned - began})
	}
	list = append(list, StageTime{Process: "runner", Stage: prog.StageClone.String(), Start: cloned - began, Took: marks[0].At - cloned})
	for i, m := range marks {
		process, start, end := "init", m.At, released
		if m.InJob {
			process, end = "job", running
		}
		switch {
		case i+1 < len(marks) && marks[i+1].InJob == m.InJob:
			end = marks[i+1].At
		case m.InJob:
			start = max(start, began)
		case cloned < began:
			end = start // when init was done is not known
		}
		list = append(list, StageTime{Process: process, Stage: m.Stage.String(), Start: start - began, Took: max(0, end-start)})
	}
	return list
}
