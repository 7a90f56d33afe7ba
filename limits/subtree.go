package limits

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Subtree is a cgroup v2 directory in which groups can be made. Its methods
// may be called from several goroutines; Close ends it.
type Subtree struct {
	dir         dir
	proc        string
	self        runner
	controllers []string // enabled for groups below, in the kernel's order
	evacuated   []int
	lacks       error
	spare       atomic.Pointer[spareGroup]
	scopeTook   time.Duration
}

// spareGroup is the directory with which the subtree was tried, kept for the
// first group.
type spareGroup struct {
	name string
	dir  dir
}

// Path returns the directory's path, for messages.
func (s *Subtree) Path() string { return s.dir.path }

// Controllers returns the controllers that groups made here have.
func (s *Subtree) Controllers() []string { return slices.Clone(s.controllers) }

// Lacks says why controllers that were needed are missing, nil if none is.
func (s *Subtree) Lacks() error { return s.lacks }

// ScopeTook returns how long the user's manager took to make the scope in
// which the subtree is; 0 if it was not asked.
func (s *Subtree) ScopeTook() time.Duration { return s.scopeTook }

// Evacuated returns the processes that were moved into a leaf of their own to
// free the directory: the caller and its ancestors, or none.
func (s *Subtree) Evacuated() []int { return slices.Clone(s.evacuated) }

// Close releases the directory. Groups that were made in it stay.
func (s *Subtree) Close() {
	s.dropSpare()
	s.dir.close()
}

// Forget removes the directory that was made for the group
// [FindOptions.First] if that group was not made.
func (s *Subtree) Forget() { s.dropSpare() }

func (s *Subtree) dropSpare() {
	if spare := s.spare.Swap(nil); spare != nil {
		spare.dir.close()
		_ = s.dir.rmdir(spare.name)
	}
}

// makeGroup makes the directory of a group, or takes the spare one.
func (s *Subtree) makeGroup(name string) (dir, error) {
	if spare := s.spare.Load(); spare != nil && spare.name == name && s.spare.CompareAndSwap(spare, nil) {
		return spare.dir, nil
	}
	return s.dir.make(name)
}

// has reports whether groups here have a controller.
func (s *Subtree) has(controller string) bool { return slices.Contains(s.controllers, controller) }

// try finds out whether groups can be made here and processes put into them.
// File modes do not tell: cgroupfs may be mounted read-only, and clone3 into
// a group needs the cgroup.procs of the common ancestor, which is this one.
func (s *Subtree) try(first string) error {
	keep := validID(first)
	if !keep {
		first = "probe"
	}
	name := s.self.groupName(first)
	probe, err := s.dir.make(name)
	if errors.Is(err, unix.EEXIST) && !keep {
		probe, err = s.dir.child(name) // another look at the same time
	}
	if err != nil {
		return err
	}
	s.spare.Store(&spareGroup{name, probe})
	if !keep {
		defer s.dropSpare()
	}
	// Below a threaded group no process can be put into a group ("domain
	// invalid", cgroups(7)).
	kind, err := probe.read("cgroup.type")
	if err != nil {
		return err
	}
	if string(kind) != "domain\n" {
		return errors.New("groups made in it are " + quote(string(bytes.TrimSpace(kind))) + ", not \"domain\"")
	}
	fd, err := s.dir.openAt("cgroup.procs", unix.O_WRONLY)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// enable enables the controllers that are needed and wanted for the groups
// below. The error is why one that is needed could not be.
func (s *Subtree) enable(opt *FindOptions, membership []byte, procs []int) *reason {
	available, err := s.words("cgroup.controllers")
	if err != nil {
		return &reason{kind: ErrNoController, why: err}
	}
	if s.controllers, err = s.words("cgroup.subtree_control"); err != nil {
		return &reason{kind: ErrNoController, why: err}
	}
	for _, name := range opt.Need {
		if !slices.Contains(available, name) {
			return &reason{kind: ErrNoController, why: whyMissing(name, available, membership)}
		}
	}
	need := s.disabled(opt.Need)
	want := s.disabled(opt.Want)
	want = slices.DeleteFunc(want, func(name string) bool { return !slices.Contains(available, name) })
	if len(need)+len(want) == 0 {
		return nil
	}
	undo, err := s.free(opt, procs)
	if err != nil {
		if len(need) == 0 {
			return nil
		}
		return &reason{kind: ErrNotDelegated, why: err}
	}
	err = s.turnOn(append(slices.Clone(need), want...))
	if err != nil && len(want) > 0 {
		// One that is only wanted may be what was refused.
		if err = s.turnOn(need); err == nil {
			for _, name := range want {
				_ = s.turnOn([]string{name})
			}
		}
	}
	if err != nil {
		undo()
		return &reason{kind: ErrNoController, why: err}
	}
	if s.controllers, err = s.words("cgroup.subtree_control"); err != nil {
		return &reason{kind: ErrNoController, why: err}
	}
	return nil
}

// enablePart enables fewer controllers than were needed, and reports whether
// that was possible.
func (s *Subtree) enablePart(opt *FindOptions) bool {
	available, err := s.words("cgroup.controllers")
	if err != nil {
		return false
	}
	for _, name := range opt.Need {
		if !slices.Contains(available, name) {
			return false
		}
	}
	procs, err := s.dir.procs()
	return err == nil && s.enable(opt, nil, procs) == nil
}

// free sees to it that the directory holds no process, where the kernel wants
// that before it enables controllers below. For most it refuses (EBUSY, the
// no-internal-process rule); for cpu, pids and cpuset it does not, but turns
// the directory into a threaded domain, below which groups hold no process.
func (s *Subtree) free(opt *FindOptions, procs []int) (undo func(), err error) {
	if len(procs) == 0 {
		return func() {}, nil
	}
	if _, err := s.dir.read("cgroup.type"); errors.Is(err, unix.ENOENT) {
		return func() {}, nil // only the root of the hierarchy has no type, and it is exempt
	}
	if !opt.Evacuate {
		return nil, errors.New("it holds " + strconv.Itoa(len(procs)) +
			" processes, so no controller can be enabled below it, and moving them was not allowed")
	}
	return s.evacuate()
}

func (s *Subtree) turnOn(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return s.dir.write("cgroup.subtree_control", "+"+strings.Join(names, " +"))
}

// disabled returns which of the controllers are not enabled yet.
func (s *Subtree) disabled(names []string) []string {
	var off []string
	for _, name := range names {
		if !s.has(name) && !slices.Contains(off, name) {
			off = append(off, name)
		}
	}
	return off
}

func (s *Subtree) words(file string) ([]string, error) {
	text, err := s.dir.read(file)
	if err != nil {
		return nil, err
	}
	var words []string
	for word := range bytes.FieldsSeq(text) {
		words = append(words, string(word))
	}
	return words, nil
}

// whyMissing says what keeps a controller away.
func whyMissing(name string, available []string, membership []byte) error {
	if onV1(membership, name) {
		return errors.New(name + " is bound to cgroup v1 on this host")
	}
	has := "none"
	if len(available) > 0 {
		has = strings.Join(available, " ")
	}
	return errors.New(name + " was not handed down by the parent cgroup, only: " + has)
}
