package limits

import (
	"math"

	"golang.org/x/sys/unix"
)

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

// AddTasks makes room in the group for n more tasks beside pid 1 and the job, and
// opens the cgroup.procs of pid 1's leaf, by which they put themselves there. The
// caller closes it.
func (g *Group) AddTasks(n uint64) (procs int, err error) {
	for i := range g.settings {
		s := &g.settings[i]
		if s.Dir != "" || s.File != "pids.max" {
			continue
		}
		now, ok := parseUint([]byte(s.Value))
		if !ok {
			return -1, g.run.fail("parse", s.File, unix.EINVAL)
		}
		value := decimalText(now + n)
		if err := g.run.write(s.File, value); err != nil {
			return -1, err
		}
		s.Value = value
	}
	return g.init.openAt("cgroup.procs", unix.O_WRONLY)
}
