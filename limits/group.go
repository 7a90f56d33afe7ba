package limits

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// GroupLimits is what the kernel is to hold a job to. A zero field sets no
// limit.
type GroupLimits struct {
	Memory     Size     // of all processes together, page cache and tmpfs included
	MemoryHigh Size     // above it the job is slowed and reclaimed from, not killed
	Swap       Size     // on top of Memory, and only with it: zero then means no swap at all
	CPU        CPU      // bandwidth
	CPUWeight  int      // share under contention, 1 to 10000; the kernel's default is 100
	CPUSet     string   // CPUs that may be used, as in "0-3,8"
	IORead     Size     // bytes a second, from each of IODevices
	IOWrite    Size     // bytes a second, to each of IODevices
	IOWeight   int      // share under contention, 1 to 10000; the kernel's default is 100
	IODevices  []string // "8:0", as [BlockDevices] lists them; with IORead or IOWrite at least one
	Tasks      uint64   // processes and threads of the job
}

// Group is the cgroup of one run, with a leaf for pid 1 (init) and one for the
// job. Its methods may be called from several goroutines, but for Close and
// Remove, which end it; one of them has to be called, before the subtree is
// closed.
type Group struct {
	base           *Subtree
	name           string
	run, init, job dir
	settings       []Setting
	notes          []string
}

// NewGroup makes a group. id is unique among the groups of this process and
// consists of letters, digits, - and _ (at most 64). On error nothing is left
// behind. A limit whose controller the subtree lacks is an error that wraps
// [ErrNoController].
func (s *Subtree) NewGroup(id string, l GroupLimits) (*Group, error) {
	if !validID(id) {
		return nil, errors.New("group id " + quote(id) + ": use letters, digits, - and _, at most 64")
	}
	settings, err := l.Settings(s.controllers)
	if err != nil {
		return nil, err
	}
	none := dir{fd: -1}
	g := &Group{base: s, name: s.self.groupName(id), run: none, init: none, job: none, settings: settings}
	if g.run, err = s.makeGroup(g.name); err != nil {
		return nil, err
	}
	if err := g.fill(l); err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	return g, nil
}

// fill turns the new directory into a group: limits first, then the leaves,
// so that no moment exists in which a leaf can hold a process without them.
func (g *Group) fill(l GroupLimits) error {
	// The second witness that this run is alive; see Sweep.
	if err := unix.Flock(g.run.fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return g.run.fail("flock", "", err)
	}
	if err := g.set("", g.run); err != nil {
		return err
	}
	if l.CPUSet != "" {
		if err := checkCPUSet(g.run, l.CPUSet); err != nil {
			return err
		}
	}
	var err error
	if g.init, err = g.run.make(initLeaf); err != nil {
		return err
	}
	if g.job, err = g.run.make(jobLeaf); err != nil {
		return err
	}
	return g.set(jobLeaf, g.job)
}

// set writes the settings of one directory.
func (g *Group) set(leaf string, d dir) error {
	for _, s := range g.settings {
		if s.Dir != leaf {
			continue
		}
		err := d.write(s.File, s.Value)
		if s.Optional && errors.Is(err, unix.ENOENT) {
			g.note(s.File)
		} else if s.File == "io.weight" && errors.Is(err, unix.ENOENT) {
			return &reason{"I/O weight", ErrNoController, errors.New("this kernel has none (io.weight needs CONFIG_BLK_CGROUP_IOCOST or BFQ)")}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// note keeps what the kernel's lack of a file means for the job, if anything.
func (g *Group) note(file string) {
	if file == "memory.swap.max" && swapIsOn(g.base.proc) {
		g.notes = append(g.notes, "this kernel does not count swap (memory.swap.max is missing), so the job can use it beyond its memory limit")
	}
}

// Notes says, in words, what the kernel could not be told for lack of a file.
func (g *Group) Notes() []string { return g.notes }

// Path returns the group's path, for messages.
func (g *Group) Path() string { return g.run.path }

// InitFD returns the directory for CLONE_INTO_CGROUP of pid 1. It stays the
// group's.
func (g *Group) InitFD() int { return g.init.fd }

// JobFD returns the directory for CLONE_INTO_CGROUP of the job. It stays the
// group's.
func (g *Group) JobFD() int { return g.job.fd }

// OpenJobProcs opens the job's cgroup.procs for writing: a process under ids
// that are not the caller's cannot be cloned into the group, but can put
// itself there by writing "0" to a descriptor that the caller has opened. The
// caller closes it.
func (g *Group) OpenJobProcs() (fd int, err error) {
	return g.job.openAt("cgroup.procs", unix.O_WRONLY)
}

// Close releases the group's descriptors and its lock, and leaves the group
// where it is, for [Subtree.Sweep] once this process is gone.
func (g *Group) Close() {
	for _, d := range []*dir{&g.job, &g.init, &g.run} {
		d.close()
		d.fd = -1
	}
}

// The leaves of a group.
const (
	initLeaf = "init"
	jobLeaf  = "job"
)

// Setting is one value that NewGroup writes, in order.
type Setting struct {
	Dir      string // "" for the group, or "job"
	File     string
	Value    string
	Optional bool // skipped on kernels without the file
}

// String renders the setting as a line of a plan: "job/pids.max = 64".
func (s Setting) String() string {
	if s.Dir != "" {
		return s.Dir + "/" + s.File + " = " + s.Value
	}
	return s.File + " = " + s.Value
}

// Settings returns what [Subtree.NewGroup] writes for these limits where the
// given controllers are enabled. It is pure: the same list is printed as a
// plan and carried out.
func (l GroupLimits) Settings(controllers []string) ([]Setting, error) {
	b := settings{have: controllers}
	// A job that reaches cgroupfs must not be able to litter it (a thousand
	// child groups make removal slow and can fail it). The two leaves are all.
	b.put("", "cgroup.max.depth", "1")
	b.put("", "cgroup.max.descendants", "2")
	b.memory(l)
	b.cpu(l)
	b.cpuset(l)
	b.io(l)
	b.pids(l)
	// The leaves have memory and pids of their own: for oom.group and the
	// job's pids.max, and for counters that leave out pid 1.
	var below []string
	for _, name := range []string{"memory", "pids"} {
		if b.has(name) {
			below = append(below, "+"+name)
		}
	}
	if below != nil {
		b.put("", "cgroup.subtree_control", strings.Join(below, " "))
	}
	b.jobMemory()
	b.jobPids(l)
	return b.list, b.err
}

// settings collects a list of settings and the first reason why it cannot be.
type settings struct {
	have []string
	list []Setting
	err  error
}

func (b *settings) has(controller string) bool { return slices.Contains(b.have, controller) }

// need reports whether a limit can be set, and keeps an error if not.
func (b *settings) need(controller, limit string) bool {
	if b.has(controller) {
		return true
	}
	if b.err == nil {
		b.err = &reason{place: limit, kind: ErrNoController, why: errors.New(controller + " is not enabled in this subtree")}
	}
	return false
}

func (b *settings) put(dir, file, value string) {
	b.list = append(b.list, Setting{Dir: dir, File: file, Value: value})
}

func (b *settings) putIfKnown(dir, file, value string) {
	b.list = append(b.list, Setting{Dir: dir, File: file, Value: value, Optional: true})
}

func (b *settings) refuse(limit, why string) {
	if b.err == nil {
		b.err = errors.New(limit + ": " + why)
	}
}

func decimalText(n uint64) string { return strconv.FormatUint(n, 10) }
