package sandbox

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

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
		Manager: s.needsKernel(),
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
	return TierWatchdog, tree, lacks, c.withoutKernel(lacks)
}

// chooseTier finds the subtree and makes the run's group. Without the
// controllers that the limits need it is the watchdog tier, which still uses a
// writable group for freezing and for its CPU clock.
func (r *run) chooseTier() error {
	tier, tree, lacks, err := r.cmd.tier(r.id)
	r.tier, r.lacks = tier, lacks
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
	var gl limits.GroupLimits
	if r.tier == TierCgroup {
		if gl, err = r.cmd.groupLimits(); err != nil {
			tree.Forget()
			return err
		}
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

// withoutKernel says whether the watchdog may stand in for the kernel, which
// refused for the given reason.
func (s *Spec) withoutKernel(reason error) error {
	switch {
	case s.Limits.RequireCgroup:
		return fmt.Errorf("--require cgroup: %w", reason)
	case s.Limits.CPUs != "" || s.Limits.Weight > 0:
		return fmt.Errorf("cpuset and cpu-weight need a cgroup: %w", reason)
	case s.Limits.limitsIO():
		return fmt.Errorf("limits of I/O need a cgroup: %w", reason)
	case s.Limits.MemoryHigh > 0:
		return fmt.Errorf("mem-high needs a cgroup: %w", reason)
	case s.Limits.Swap > 0:
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

func newID() (string, error) {
	var b [8]byte
	// crypto/rand would cost a program start-up time and 170 KB.
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		return "", os.NewSyscallError("getrandom", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// enforcement tells the ledger what holds the limits in this run.
func (r *run) enforcement() enforcement {
	return enforcement{
		tier: r.tier, pidsByGroup: r.tier == TierCgroup,
		freezes: r.group != nil, cpuStat: r.group != nil,
		swapOff:    r.plan.limits.Memory > 0 && !limits.SwapIsOn(),
		noSwapFile: r.group != nil && len(r.group.Notes()) > 0,
		keepsUpper: r.plan.root.Upper.Dir != "",
		sample:     20 * time.Millisecond, // limits.NextSample
	}
}
