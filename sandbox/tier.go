package sandbox

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// subtrees remembers what [limits.FindSubtree] found for this process, by the
// controllers needed: it never changes for the better while we run.
var subtrees struct {
	sync.Mutex
	found map[string]foundSubtree
	told  atomic.Bool // what the scope cost stands in the result of one run
}

// holds is which limits the kernel holds by the run's group, for its subtree
// has their controllers. What it does not hold, the watchdog does, or an rlimit.
type holds struct{ memory, cpu, cpuset, io, pids bool }

func heldBy(tree *limits.Subtree) (h holds) {
	if tree == nil {
		return h
	}
	for _, name := range tree.Controllers() {
		switch name {
		case "memory":
			h.memory = true
		case "cpu":
			h.cpu = true
		case "cpuset":
			h.cpuset = true
		case "io":
			h.io = true
		case "pids":
			h.pids = true
		}
	}
	return h
}

type foundSubtree struct {
	tree *limits.Subtree
	err  error
}

// FindSubtree looks for a delegated cgroup v2 subtree that has the controllers
// s needs, or else for any writable one (see [limits.FindOptions]). evacuate
// allows the calling process to be moved into a leaf; only a program's own
// main may ask for that. The first answer for the same controllers is kept for
// the life of the process, whatever evacuate was: who allows it asks first.
func FindSubtree(s *Spec, evacuate bool) (*limits.Subtree, error) {
	return findSubtree(s, evacuate, "")
}

// findSubtree is FindSubtree for a run whose group comes next; first is its id.
func findSubtree(s *Spec, evacuate bool, first string) (*limits.Subtree, error) {
	need := s.controllers()
	key := strings.Join(need, " ")
	if s.needsKernel() {
		key += " at any cost"
	}
	subtrees.Lock()
	defer subtrees.Unlock()
	if f, ok := subtrees.found[key]; ok {
		return f.tree, f.err
	}
	var f foundSubtree
	f.tree, f.err = limits.FindSubtree(limits.FindOptions{
		Need: need, Want: []string{"memory", "cpu", "pids", "io"}, Evacuate: evacuate, Bare: true, First: first,
		Manager: s.needsKernel(), Parts: s.parts(need),
	})
	if subtrees.found == nil {
		subtrees.found = map[string]foundSubtree{}
	}
	subtrees.found[key] = f
	return f.tree, f.err
}

// needsKernel reports whether a limit was asked that the kernel holds better
// than anybody else, so that it is worth the milliseconds in which the user's
// manager makes a scope. A number of processes alone is not: the rlimit holds
// it exactly.
func (s *Spec) needsKernel() bool {
	l := &s.Limits
	return l.Memory > 0 || l.MemoryHigh > 0 || l.CPU > 0 || l.Weight > 0 || l.CPUs != "" || l.limitsIO() || l.RequireCgroup
}

// controllers lists what the limits need of a subtree.
func (s *Spec) controllers() []string {
	l := &s.Limits
	need := []string{"pids"}
	if l.Memory > 0 || l.MemoryHigh > 0 {
		need = append(need, "memory")
	}
	if l.CPU > 0 || l.Weight > 0 {
		need = append(need, "cpu")
	}
	if l.CPUs != "" {
		need = append(need, "cpuset")
	}
	if l.limitsIO() {
		need = append(need, "io")
	}
	return need
}

// parts lists what of the controllers is still worth having, the best first:
// a limit of memory that the kernel holds is worth most. Users are commonly
// delegated memory and pids, without cpu; some kernels come without memory.
// What the watchdog cannot do is in every part.
func (s *Spec) parts(need []string) (parts [][]string) {
	l := &s.Limits
	if l.RequireCgroup {
		return nil
	}
	for _, drop := range [][]string{{"cpu"}, {"pids"}, {"cpu", "pids"}, {"memory"}, {"memory", "pids"}} {
		part := slices.DeleteFunc(slices.Clone(need), func(name string) bool { return slices.Contains(drop, name) })
		kernelOnly := l.MemoryHigh > 0 || l.Swap > 0
		switch {
		case len(part) != len(need)-len(drop), // what is not needed cannot be left out
			len(part) == 0, len(part) == 1 && part[0] == "pids",
			kernelOnly && drop[0] == "memory", l.Weight > 0 && drop[0] == "cpu":
		default:
			parts = append(parts, part)
		}
	}
	return parts
}

func (l *Limits) limitsIO() bool { return l.IORead > 0 || l.IOWrite > 0 || l.IOWeight > 0 }

// tier says who is to enforce the limits, and where a group can be made, if
// anywhere. lacks is the reason for the watchdog. first is the id of the group
// that is made next, "" if none is.
func (c *Cmd) tier(first string) (t Tier, tree *limits.Subtree, lacks, err error) {
	if tree, lacks = c.Subtree, nil; tree == nil {
		tree, lacks = findSubtree(&c.Spec, c.Evacuate, first)
	}
	if lacks == nil {
		lacks = tree.Lacks()
	}
	if lacks == nil {
		return TierCgroup, tree, nil, nil
	}
	return TierWatchdog, tree, lacks, c.withoutKernel(heldBy(tree), lacks)
}

// chooseTier finds the subtree and makes the run's group. Without the
// controllers that the limits need it is the watchdog tier, in which the group
// still holds what it can: by the controllers that are there, by freezing, and
// as a CPU clock.
func (r *run) chooseTier() error {
	tier, tree, lacks, err := r.cmd.tier(r.id)
	r.tier, r.lacks, r.held = tier, lacks, heldBy(tree)
	if tree == nil {
		return err
	}
	if err != nil {
		tree.Forget()
		return err
	}
	if took := tree.ScopeTook(); took > 0 && subtrees.told.CompareAndSwap(false, true) {
		r.took.Scope = took
		r.event("group", "the user's manager made a scope for jailrun", took)
	}
	begin := limits.Now()
	gl, err := r.cmd.groupLimits()
	if err != nil {
		tree.Forget()
		return err
	}
	if r.tier == TierWatchdog {
		gl = r.held.only(gl)
	}
	r.tree = tree
	if r.group, err = tree.NewGroup(r.id, gl); err != nil {
		tree.Forget()
		return err
	}
	r.took.Group = limits.Now() - begin
	r.event("group", "made "+r.group.Path(), r.took.Group)
	return nil
}

// only leaves of the limits those that are held.
func (h holds) only(gl limits.GroupLimits) limits.GroupLimits {
	if !h.memory {
		gl.Memory = 0 // withoutKernel has refused the others
	}
	if !h.cpu {
		gl.CPU = 0
	}
	if !h.pids {
		gl.Tasks = 0
	}
	return gl
}

// withoutKernel says whether the watchdog may stand in for what the kernel does
// not hold, for the given reason.
func (s *Spec) withoutKernel(held holds, reason error) error {
	l := &s.Limits
	switch {
	case l.RequireCgroup:
		return fmt.Errorf("--require cgroup: %w", reason)
	case l.CPUs != "" && !held.cpuset || l.Weight > 0 && !held.cpu:
		return fmt.Errorf("cpuset and cpu-weight need a cgroup: %w", reason)
	case l.limitsIO() && !held.io:
		return fmt.Errorf("limits of I/O need a cgroup: %w", reason)
	case l.MemoryHigh > 0 && !held.memory:
		return fmt.Errorf("mem-high needs a cgroup: %w", reason)
	case l.Swap > 0 && !held.memory:
		return fmt.Errorf("swap needs a cgroup: %w", reason)
	}
	return nil
}

func (s *Spec) groupLimits() (gl limits.GroupLimits, err error) {
	l := &s.Limits
	pids := l.Pids
	switch pids {
	case 0:
		pids = DefaultPids
	case -1:
		pids = 0
	}
	gl = limits.GroupLimits{
		Memory: l.Memory, MemoryHigh: l.MemoryHigh, Swap: l.Swap, CPU: l.CPU, CPUWeight: l.Weight, CPUSet: l.CPUs,
		Tasks: uint64(pids), IORead: l.IORead, IOWrite: l.IOWrite, IOWeight: l.IOWeight,
	}
	if l.IORead > 0 || l.IOWrite > 0 {
		gl.IODevices, err = limits.BlockDevices()
	}
	return gl, err
}

// groupBindings names the descriptors that put init and the job into their
// leaves.
func (r *run) groupBindings() ([]prog.Binding, error) {
	binds := []prog.Binding{{Slot: prog.SlotInitGroup, Fd: r.group.InitFD()}}
	if !r.plan.joinGroup {
		return append(binds, prog.Binding{Slot: prog.SlotJobGroup, Fd: r.group.JobFD()}), nil
	}
	fd, err := r.group.OpenJobProcs()
	if err != nil {
		return nil, err
	}
	r.jobEnds = append(r.jobEnds, fd)
	return append(binds, prog.Binding{Slot: r.plan.procsSlot, Fd: fd}), nil
}

// removeGroup removes the group, which is empty by now.
func (r *run) removeGroup() error {
	r.hold.Lock()
	g := r.group
	r.group = nil // Suspend may come at any time
	r.hold.Unlock()
	if g == nil {
		return nil
	}
	return g.Remove()
}

// newID is unique, and no secret. The runtime seeds its generator from what the
// kernel gives every program (AT_RANDOM); the first getrandom of a process would
// set up the vDSO's state, and crypto/rand cost more at the start, and 170 KB.
func newID() string {
	return hex.EncodeToString(binary.NativeEndian.AppendUint64(nil, rand.Uint64()))
}

// enforcement tells the ledger what holds the limits in this run.
func (r *run) enforcement() enforcement {
	return enforcement{
		held:    r.held,
		freezes: r.group != nil, cpuStat: r.group != nil,
		swapOff:    r.plan.limits.Memory > 0 && !limits.SwapIsOn(),
		noSwapFile: r.group != nil && len(r.group.Notes()) > 0,
		keepsUpper: r.plan.root.Upper.Dir != "", upperSize: r.upperSize(),
		sample: 20 * time.Millisecond, // limits.NextSample
	}
}
