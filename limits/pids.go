package limits

import "math"

// pids bounds the whole group to one more than the job: pid 1 is a task too.
func (b *settings) pids(l GroupLimits) {
	if l.Tasks == 0 || !b.need("pids", "task limit") {
		return
	}
	if l.Tasks >= math.MaxInt32 {
		b.refuse("task limit "+decimalText(l.Tasks), "use less than 2^31")
	}
	b.put("", "pids.max", decimalText(l.Tasks+1))
}

func (b *settings) jobPids(l GroupLimits) {
	if l.Tasks > 0 && b.has("pids") {
		b.put(jobLeaf, "pids.max", decimalText(l.Tasks))
	}
}

// PidsUsage counts the tasks of the job, without pid 1.
type PidsUsage struct {
	Current   Opt[uint64]
	Peak      Opt[uint64] // Linux 6.1
	LimitHits Opt[uint64] // how often fork or clone was refused
}

func (g *Group) pidsUsage(r *usageReader) (p PidsUsage) {
	p.Current = r.number(g.job, "pids.current")
	if !p.Current.Known {
		return p
	}
	p.Peak = r.number(g.job, "pids.peak")
	// Before Linux 6.11 a refusal is counted where the task is, since then
	// where the limit is, and in the groups above.
	p.LimitHits = larger(r.keyed(g.job, "pids.events").get("max"), r.keyed(g.run, "pids.events").get("max"))
	return p
}
