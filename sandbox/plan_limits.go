package sandbox

import (
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// rlimits completes the asked rlimits with those that follow from other limits.
func (pl *Plan) rlimits(f *facts) ([limits.Resources]unix.Rlimit, error) {
	spec := pl.limits.Rlimits
	spec.CPUTime = pl.limits.CPUTime
	if pl.limits.Pids > 0 {
		spec.NProc = limits.NProc(uint64(pl.limits.Pids), pl.identity.job[0] == 0 || !pl.identity.written)
		if !pl.identity.written {
			spec.NProc += uint64(len(pl.servers)) * (serverTasks + 1) // under the job's uid, in its user namespace
		}
		if pl.held.pids {
			// The kernel asks the rlimit before pids.max, and counts only what
			// pids.max refuses: here it is a belt, a little wider.
			spec.NProc += nprocSlack
		}
	}
	rl, notes, err := limits.Rlimits(spec, f.hard)
	for _, n := range notes {
		pl.notes = append(pl.notes, n.String())
	}
	return rl, err
}

// nprocSlack is how much wider the rlimit is than pids.max.
const nprocSlack = 8

// resolveLimits applies the defaults that CLI.md states on a machine with so
// much memory (0: not known), and returns what is to be said of them.
func resolveLimits(s *Spec, held holds, ram limits.Size) (l Limits, notes []string) {
	l = s.Limits
	if l.Pids == 0 {
		l.Pids = DefaultPids
	}
	if l.Inodes == 0 {
		l.Inodes = DefaultInodes
	}
	if l.Disk == 0 {
		l.Disk = DefaultDisk
		if l.Memory > 0 && l.Disk > l.Memory {
			l.Disk = l.Memory
		}
		if ram > 0 && l.Disk > ram/4 {
			l.Disk = max(ram/4, leastRoot)
		}
	}
	if l.Wall == 0 && l.CPUTime > 0 {
		l.Wall = 3*l.CPUTime + 1e9
		notes = append(notes, "wall limit "+l.Wall.String()+": 3 × the CPU time limit + 1 s")
	}
	if l.Wall == 0 && (l.Memory > 0 && !held.memory || l.CPU > 0 && !held.cpu) {
		l.Wall = 3600e9
		notes = append(notes, "wall limit 1h: the watchdog does not watch longer unasked")
	}
	return l, notes
}
