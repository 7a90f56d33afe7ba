package limits

import "golang.org/x/sys/unix"

// A Squeeze is a look at a job that meets its memory limit.
type Squeeze struct {
	Hits     uint64 // how often the limit was met, so far
	Anon     Opt[Size]
	Held     Size   // memory that cannot be given back: anonymous, shared, of the kernel
	Refaults uint64 // pages that were given back and had to be read again, so far
}

// SqueezeWatch tells when a job meets its memory limit, and how it fares then.
// The kernel kills a job only when nothing can be reclaimed; a job whose last
// reclaimable pages are its own program is not killed, but reads that program
// again for every few instructions, for hours.
type SqueezeWatch struct {
	group  *Group
	events int
}

// WatchSqueeze begins to watch; it needs the memory controller. The caller
// closes the watch before the group.
func (g *Group) WatchSqueeze() (*SqueezeWatch, error) {
	fd, err := g.run.openAt("memory.events", unix.O_RDONLY)
	if err != nil {
		return nil, gone(err)
	}
	w := &SqueezeWatch{g, fd}
	_, err = w.hits() // what comes from now on is news
	return w, err
}

// FD polls as POLLPRI when an event was counted since the last Look. It stays
// the watch's.
func (w *SqueezeWatch) FD() int { return w.events }

// Close releases the watch.
func (w *SqueezeWatch) Close() { _ = unix.Close(w.events) }

func (w *SqueezeWatch) hits() (uint64, error) {
	var buf [512]byte
	n, err := ignoringEINTR(func() (int, error) { return unix.Pread(w.events, buf[:], 0) })
	if err != nil {
		return 0, gone(w.group.run.fail("read", "memory.events", err))
	}
	return keyed(buf[:n]).get("max").Value, nil
}

// Look reads the counters. The kernel tells of refaults since Linux 4.20, of
// file pages alone since 5.9.
func (w *SqueezeWatch) Look() (s Squeeze, err error) {
	if s.Hits, err = w.hits(); err != nil {
		return s, err
	}
	text, err := w.group.run.read("memory.stat")
	if err != nil {
		return s, gone(err)
	}
	stat := keyed(text)
	s.Anon = sizeOf(stat.get("anon"))
	s.Held = s.Anon.Value + Size(stat.get("shmem").Value)
	if kernel := stat.get("kernel"); kernel.Known { // Linux 5.18
		s.Held += Size(kernel.Value - min(kernel.Value, stat.get("slab_reclaimable").Value))
	} else {
		s.Held += Size(stat.get("slab_unreclaimable").Value + stat.get("kernel_stack").Value + stat.get("pagetables").Value)
	}
	refaults := stat.get("workingset_refault_file")
	if !refaults.Known {
		refaults = stat.get("workingset_refault")
	}
	s.Refaults = refaults.Value
	return s, nil
}
