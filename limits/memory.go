package limits

import "bytes"

func (b *settings) memory(l GroupLimits) {
	if l.Memory == 0 && l.MemoryHigh == 0 || !b.need("memory", "memory limit") {
		return
	}
	if l.MemoryHigh > 0 {
		b.put("", "memory.high", decimalText(uint64(l.MemoryHigh)))
	}
	if l.Memory == 0 {
		return
	}
	b.put("", "memory.max", decimalText(uint64(l.Memory)))
	// Without these a job of 100 MiB lives on in any amount of swap.
	b.putIfKnown("", "memory.swap.max", decimalText(uint64(l.Swap)))
	b.putIfKnown("", "memory.zswap.max", "0") // Linux 5.19
}

// jobMemory has the kernel kill the job as one: a job that goes on without the
// child that was killed prints a result that looks right. Linux 4.19.
func (b *settings) jobMemory() {
	if b.has("memory") {
		b.put(jobLeaf, "memory.oom.group", "1")
	}
}

// SwapIsOn reports whether the host has swap; when it cannot be told, it has.
func SwapIsOn() bool { return swapIsOn("/proc") }

func swapIsOn(proc string) bool {
	text, err := readFile(proc + "/swaps")
	return err != nil || bytes.Count(text, []byte{'\n'}) > 1 // the first line is a heading
}

// MemoryUsage is what the memory controller has counted, in bytes. Current
// values are those of the moment; the job's own leaf is read, so that pid 1 is
// left out.
type MemoryUsage struct {
	Current  Opt[Size]
	Peak     Opt[Size] // page cache included; Linux 5.19
	Anon     Opt[Size] // of Current
	File     Opt[Size] // of Current: page cache, tmpfs included
	Shmem    Opt[Size] // of File: tmpfs and shared memory
	Kernel   Opt[Size] // of Current; Linux 5.18
	Swap     Opt[Size]
	SwapPeak Opt[Size] // Linux 6.5

	// OOMKills counts processes of the group that an OOM killer has killed,
	// for whatever limit: also that of an outer group, or the machine's.
	OOMKills Opt[uint64]
	// OwnOOMs counts how often the group's own limit left an allocation
	// without memory. With OOMKills above zero and OwnOOMs zero the job died
	// of somebody else's limit. Linux 5.2.
	OwnOOMs Opt[uint64]
	// LimitHits counts how often the group's own limit was met, and memory
	// reclaimed. It says nothing about harm.
	LimitHits Opt[uint64]
}

func (g *Group) memoryUsage(r *usageReader) (m MemoryUsage) {
	m.Current = sizeOf(r.number(g.job, "memory.current"))
	if !m.Current.Known {
		return m // no memory controller: spare the kernel five more lookups
	}
	// A charge that fails at run/'s limit has already raised job/'s peak, by
	// up to a batch of 64 pages; run/'s is right, but has pid 1 in it.
	m.Peak = sizeOf(smaller(r.number(g.job, "memory.peak"), r.number(g.run, "memory.peak")))
	stat := r.keyed(g.job, "memory.stat")
	m.Anon, m.File = sizeOf(stat.get("anon")), sizeOf(stat.get("file"))
	m.Shmem, m.Kernel = sizeOf(stat.get("shmem")), sizeOf(stat.get("kernel"))
	m.Swap = sizeOf(r.number(g.job, "memory.swap.current"))
	m.SwapPeak = sizeOf(r.number(g.job, "memory.swap.peak"))
	// The limit stands on run/, so its events are there. Where cgroup2 is
	// mounted with memory_localevents, events do not rise to the parent and
	// the kills are counted in job/ only.
	run, job := r.keyed(g.run, "memory.events"), r.keyed(g.job, "memory.events")
	m.OOMKills = larger(run.get("oom_kill"), job.get("oom_kill"))
	local := r.keyed(g.run, "memory.events.local")
	m.OwnOOMs, m.LimitHits = local.get("oom"), local.get("max")
	return m
}

// AnonAbove is the job's anonymous memory now. It is absent where all that the
// job holds is no more than seen: the kernel adds up a group's statistics when
// they are read, so one number is read first. Both are absent without the
// memory controller. The error wraps [ErrGone] when the group was removed.
func (g *Group) AnonAbove(seen Size) (anon, held Opt[Size], err error) {
	n, err := g.job.number("memory.current")
	if err != nil {
		return anon, held, gone(err)
	}
	if held = sizeOf(n); held.Value <= seen {
		return anon, held, nil
	}
	text, err := g.job.read("memory.stat")
	if err != nil {
		return anon, held, gone(err)
	}
	return sizeOf(keyed(text).get("anon")), held, nil
}
