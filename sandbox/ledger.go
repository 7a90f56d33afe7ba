package sandbox

import (
	"time"

	"github.com/jailrun/jailrun/limits"
)

// enforcement is how a run holds its job to the limits. The zero value is the
// watchdog tier with nothing to help it.
type enforcement struct {
	// held is what the kernel holds by the job's group. RLIMIT_NPROC is set in
	// any case; pids.max also counts refusals.
	held holds
	// freezes: the CPU share is held by cgroup.freeze instead of signals.
	freezes bool
	// cpuStat: CPU time comes from a group's cpu.stat, which misses nobody.
	cpuStat bool
	// noSwapFile: this kernel does not count swap, so memory.swap.max is not set.
	noSwapFile bool
	// swapOff: the host has no swap at all.
	swapOff bool
	// keepsUpper: what is written to the root goes to the caller's disk.
	keepsUpper bool
	// upperSize is how much the kernel lets that take, 0 if it is not known.
	upperSize limits.Size
	// sample is the longest time between two looks at the tree in the watchdog tier.
	sample time.Duration
}

// Words of the ledger.
const (
	byKernel   = "kernel"
	byWatchdog = "watchdog"
	byNobody   = "nobody"

	everything = "everything"
	mistakes   = "mistakes"
	nothing    = "nothing"
)

// ledger lists each limit in force and what enforces it, in a fixed order. l
// has its defaults filled in: what is 0 was not asked for. No limit is left
// out: one that nothing enforces stands there as such.
func ledger(l Limits, how enforcement) []Enforced {
	var rows []Enforced
	add := func(asked bool, e Enforced) {
		if asked {
			rows = append(rows, e)
		}
	}
	add(l.Memory > 0, how.memory(l.Memory))
	add(l.Memory > 0, how.swap(l.Swap))
	add(l.MemoryHigh > 0, group(how.held.memory, "memory_high", uint64(l.MemoryHigh), "cgroup memory.high"))
	add(l.CPU > 0, how.cpu(l.CPU))
	add(l.CPUs != "", group(how.held.cpuset, "cpuset", l.CPUs, "cgroup cpuset.cpus"))
	add(l.Weight > 0, group(how.held.cpu, "cpu_weight", l.Weight, "cgroup cpu.weight"))
	add(l.IORead > 0, how.disks("io_read", uint64(l.IORead)))
	add(l.IOWrite > 0, how.disks("io_write", uint64(l.IOWrite)))
	add(l.IOWeight > 0, group(how.held.io, "io_weight", l.IOWeight, "cgroup io.weight"))
	add(l.Pids > 0, how.pids(l.Pids))
	add(l.CPUTime > 0, how.cpuTime(l.CPUTime))
	add(l.Wall > 0, Enforced{
		Name: "wall", Asked: int64(l.Wall), Mechanism: "timer of the runner",
		EnforcedBy: byWatchdog, HoldsAgainst: everything,
	})
	add(l.Output > 0, outputRow(l))
	add(l.Disk > 0, Enforced{
		Name: "disk", Asked: uint64(l.Disk), Mechanism: "tmpfs size",
		EnforcedBy: byKernel, HoldsAgainst: everything,
		Note: "of the root, /tmp, /dev/shm and HOME together; writable binds are not counted",
	})
	add(l.Disk > 0 && how.keepsUpper, how.kept(l.Disk))
	add(l.Inodes > 0, Enforced{
		Name: "inodes", Asked: l.Inodes, Mechanism: "tmpfs nr_inodes",
		EnforcedBy: byKernel, HoldsAgainst: everything,
	})
	add(l.Inodes > 0 && how.keepsUpper, Enforced{
		Name: "inodes", Asked: l.Inodes, Mechanism: "files of the kept layer, counted at least every " + diskMost.String() + " while it grows",
		EnforcedBy: byWatchdog, HoldsAgainst: mistakes,
		Note: "the job is killed beyond it",
	})
	return append(rows, rlimitRows(&l.Rlimits)...)
}

// group is a limit that only a group can hold.
func group(held bool, name string, asked any, file string) Enforced {
	if !held {
		return Enforced{
			Name: name, Asked: asked, Mechanism: "none", EnforcedBy: byNobody, HoldsAgainst: nothing,
			Note: "it needs a delegated cgroup",
		}
	}
	return Enforced{Name: name, Asked: asked, Mechanism: file, EnforcedBy: byKernel, HoldsAgainst: everything}
}

// disks is a rate of I/O.
func (how *enforcement) disks(name string, asked uint64) Enforced {
	e := group(how.held.io, name, asked, "cgroup io.max")
	if how.held.io {
		e.Note = "bytes a second of each block device; file systems without one (network, memory) are not counted"
	}
	return e
}

// kept is the disk limit of a writable layer on the caller's disk.
func (how *enforcement) kept(limit limits.Size) Enforced {
	if n := how.upperSize; n > 0 && n <= limit {
		return Enforced{
			Name: "disk", Asked: uint64(limit), Mechanism: "size of the kept layer's file system, or its project quota: " + n.Human(),
			EnforcedBy: byKernel, HoldsAgainst: everything,
			Note: "of the kept layer alone; together with the tmpfs it is measured, and the job killed beyond the limit",
		}
	}
	return Enforced{
		Name: "disk", Asked: uint64(limit), Mechanism: "size of the kept layer and the tmpfs, measured at least every " + diskMost.String() + " while it grows",
		EnforcedBy: byWatchdog, HoldsAgainst: mistakes,
		Note: "the job is killed beyond it; a burst between two looks is seen late, deleted files that are still open are not seen",
	}
}

func (how *enforcement) memory(n limits.Size) Enforced {
	e := Enforced{Name: "memory", Asked: uint64(n), Mechanism: "cgroup memory.max", EnforcedBy: byKernel, HoldsAgainst: everything}
	if how.held.memory {
		return e
	}
	e.Mechanism, e.EnforcedBy, e.HoldsAgainst = "memory of the tree, sampled", byWatchdog, mistakes
	e.Note = "a burst between two samples is seen late; memfd_create is refused, buffers in the kernel are not counted"
	if how.sample > 0 {
		e.Mechanism += " at least every " + how.sample.String()
	}
	return e
}

func (how *enforcement) swap(n limits.Size) Enforced {
	e := group(how.held.memory, "swap", uint64(n), "cgroup memory.swap.max")
	switch {
	case n == 0 && how.swapOff:
		e = Enforced{Name: "swap", Asked: uint64(0), Mechanism: "no swap on this host", EnforcedBy: byKernel, HoldsAgainst: everything}
	case how.held.memory && how.noSwapFile:
		e.Mechanism, e.EnforcedBy, e.HoldsAgainst = "none", byNobody, nothing
		e.Note = "this kernel does not count swap: the job can use it beyond its memory limit"
	case !how.held.memory:
		e.Note = "pages that are swapped out are not counted as memory"
	}
	return e
}

func (how *enforcement) cpu(share limits.CPU) Enforced {
	e := Enforced{Name: "cpu", Asked: int64(share), Mechanism: "cgroup cpu.max", EnforcedBy: byKernel, HoldsAgainst: everything}
	if how.held.cpu {
		return e
	}
	e.EnforcedBy, e.HoldsAgainst = byWatchdog, mistakes
	if how.freezes {
		e.Mechanism = "cgroup.freeze by measured CPU time"
		return e
	}
	e.Mechanism = "SIGSTOP and SIGCONT by measured CPU time"
	e.Note = "job control inside is not reliable; a job that does not obey is killed (cpu_share)"
	return e
}

func (how *enforcement) pids(n int) Enforced {
	e := Enforced{Name: "pids", Asked: n, Mechanism: "cgroup pids.max", EnforcedBy: byKernel, HoldsAgainst: everything}
	if !how.held.pids {
		e.Mechanism = "RLIMIT_NPROC of the user namespace"
		e.Note = "refusals are not counted"
	}
	return e
}

func (how *enforcement) cpuTime(limit time.Duration) Enforced {
	e := Enforced{Name: "cpu_time", Asked: int64(limit), EnforcedBy: byWatchdog}
	if how.cpuStat {
		e.Mechanism, e.HoldsAgainst = "cgroup cpu.stat, RLIMIT_CPU", everything
		e.Note = "measured whenever it can have been reached, at most every " + limits.MinCheck.String() + ", and at the end"
		return e
	}
	e.Mechanism, e.HoldsAgainst = "CPU time of the tree, sampled; RLIMIT_CPU", mistakes
	e.Note = "short-lived processes whose parent ignores SIGCHLD are not counted"
	return e
}

func outputRow(l Limits) Enforced {
	e := Enforced{
		Name: "output", Asked: uint64(l.Output), Mechanism: "counted by the runner as it passes on",
		EnforcedBy: byWatchdog, HoldsAgainst: everything, Note: "the job is killed beyond it",
	}
	if l.TruncateOutput {
		e.Note = "what is beyond it is dropped"
	}
	return e
}

// rlimitRows are the rlimits that were asked for; the other ones are set to
// their defaults.
func rlimitRows(r *limits.RlimitSpec) []Enforced {
	var rows []Enforced
	add := func(name, resource string, asked uint64) {
		rows = append(rows, Enforced{
			Name: name, Asked: asked, Mechanism: resource,
			EnforcedBy: byKernel, HoldsAgainst: everything, Note: "of each process",
		})
	}
	if r.NoFile != nil {
		add("nofile", "RLIMIT_NOFILE", *r.NoFile)
	}
	for _, s := range [...]struct {
		name, resource string
		size           *limits.Size
	}{
		{"fsize", "RLIMIT_FSIZE", r.FSize},
		{"stack", "RLIMIT_STACK", r.Stack},
		{"as", "RLIMIT_AS", r.AS},
		{"memlock", "RLIMIT_MEMLOCK", r.MemLock},
		{"core", "RLIMIT_CORE", r.Core},
	} {
		if s.size != nil {
			add(s.name, s.resource, uint64(*s.size))
		}
	}
	return rows
}
