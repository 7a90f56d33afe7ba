package limits

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrQuarantined says that a group could not be removed, because processes in
// it do not die (a task in uninterruptible sleep) or the kernel holds on to it.
// It stays with its limits in force; [Subtree.Sweep] tries again later.
var ErrQuarantined = errors.New("the cgroup could not be removed and is left behind")

// removePatience is how long Remove tries. After a fork bomb was killed a
// group was seen busy for some 60 ms; tasks in uninterruptible sleep need
// longer than anyone should wait.
const removePatience = 5 * time.Second

// Remove removes the group and all below it, and releases its descriptors. It
// kills nothing. While the kernel calls the group busy it tries again, for up
// to 5 s; then the error wraps [ErrQuarantined] and names the processes left.
// A group that is gone already is no error.
func (g *Group) Remove() error {
	defer g.Close()
	return removeGroup(g.base.dir, g.name, removePatience)
}

func removeGroup(base dir, name string, patience time.Duration) error {
	err := removeTree(base, name)
	if err != nil && !errors.Is(err, unix.EBUSY) {
		// What was short for a moment, descriptors or memory, leaves no group
		// behind: nobody else would remove it before the next run.
		err = removeTree(base, name)
	}
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	deadline, pause := Now()+patience, time.Millisecond
	for errors.Is(err, unix.EBUSY) && Now() < deadline {
		if waitErr := pauseUntilChange(base, name, min(pause, deadline-Now())); waitErr != nil {
			return waitErr
		}
		pause = min(2*pause, 100*time.Millisecond)
		err = removeTree(base, name)
	}
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	return &reason{place: "group " + name + whoIsLeft(base, name), kind: ErrQuarantined, why: err}
}

// removeTree removes a group with its leaves; whatever else is below it only
// when they are not all.
func removeTree(base dir, name string) error {
	d, err := base.child(name)
	if err != nil {
		return ignoreGone(err)
	}
	defer d.close()
	for _, leaf := range []string{jobLeaf, initLeaf} {
		if err := ignoreGone(d.rmdir(leaf)); err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	if err = base.rmdir(name); !errors.Is(err, unix.EBUSY) {
		return ignoreGone(err)
	}
	if err := removeBelow(d, 16); err != nil {
		return err
	}
	return ignoreGone(base.rmdir(name))
}

// removeBelow removes the groups below one, deepest first. cgroup.max.depth
// keeps the tree flat; depth bounds the descriptors should it not.
func removeBelow(d dir, depth int) error {
	names, err := d.dirs()
	if err != nil {
		return ignoreGone(err)
	}
	for _, name := range names {
		if depth > 0 {
			below, err := d.child(name)
			if err != nil {
				if err := ignoreGone(err); err != nil {
					return err
				}
				continue
			}
			err = removeBelow(below, depth-1)
			below.close()
			if err != nil {
				return err
			}
		}
		if err := ignoreGone(d.rmdir(name)); err != nil {
			return err
		}
	}
	return nil
}

// pauseUntilChange waits for the group to become empty, and no longer than
// pause: dying groups below keep it busy without another announcement.
func pauseUntilChange(base dir, name string, pause time.Duration) error {
	d, err := base.child(name)
	if err != nil {
		return ignoreGone(err)
	}
	defer d.close()
	w, err := watch(d)
	if err != nil {
		return ignoreGone(err)
	}
	defer w.close()
	if _, err := w.populated(); err != nil {
		return ignoreGone(err)
	}
	return w.wait(pause)
}

// whoIsLeft names the processes of a group for a message.
func whoIsLeft(base dir, name string) string {
	var text strings.Builder
	for _, leaf := range []string{jobLeaf, initLeaf} {
		if d, err := base.child(name + "/" + leaf); err == nil {
			if pids, err := d.procs(); err == nil && len(pids) > 0 {
				text.WriteString(", " + leaf + " with " + strconv.Itoa(len(pids)) + " processes, first " + strconv.Itoa(pids[0]))
			}
			d.close()
		}
	}
	return text.String()
}

// ignoreGone makes it no error that what was to be removed is not there.
func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// Swept is what a sweep found.
type Swept struct {
	Removed []string // groups whose runner was gone, by name
	Live    int      // groups of runs under way
}

// Sweep removes the groups in this subtree whose runner is gone, killing what
// is still in them. It is safe beside running jobs and other sweeps. The
// errors of groups that could not be swept are joined; the others are done all
// the same.
func (s *Subtree) Sweep() (Swept, error) {
	var swept Swept
	names, err := s.dir.dirs()
	if err != nil {
		return swept, err
	}
	var errs []error
	for _, name := range names {
		owner, ok := parseGroupName(name)
		if !ok {
			continue
		}
		removed, err := s.sweep(name, owner)
		switch {
		case err != nil:
			errs = append(errs, err)
		case removed:
			swept.Removed = append(swept.Removed, name)
		default:
			swept.Live++
		}
	}
	return swept, errors.Join(errs...)
}

func (s *Subtree) sweep(name string, owner runner) (removed bool, err error) {
	if owner.alive(s.proc, s.self) {
		return false, nil
	}
	run, err := s.dir.child(name)
	if err != nil {
		return true, ignoreGone(err)
	}
	defer run.close()
	if err := unix.Flock(run.fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if err == unix.EWOULDBLOCK {
			return false, nil // its runner is only out of our sight, or another sweep is at it
		}
		return false, run.fail("flock", "", err)
	}
	if err := kill(run); err != nil && !errors.Is(err, ErrGone) {
		return false, err
	}
	return true, removeGroup(s.dir, name, removePatience)
}
