package limits

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Why there is no cgroup tier; errors of [FindSubtree] wrap one of them.
var (
	// ErrNotDelegated says that no cgroup v2 directory lets this process make
	// groups and put processes into them.
	ErrNotDelegated = errors.New("no cgroup v2 subtree is delegated")
	// ErrNoController says that there is such a directory, but that a
	// controller that is needed cannot be enabled in it.
	ErrNoController = errors.New("a cgroup controller is missing")
)

// FindOptions says what a subtree has to offer. The zero value asks for a
// place to make groups without controllers, which still gives them
// cgroup.freeze, cgroup.kill and cpu.stat.
type FindOptions struct {
	Need []string // controllers that must be there: "memory", "cpu", "pids", "cpuset", "io"
	Want []string // controllers that are enabled where they are available

	// Evacuate allows the caller and its ancestors to be moved into a leaf of
	// their own group, when that group holds no other process: the kernel
	// enables controllers only below a group without processes. It changes
	// the calling process and is for a program's main, not for a library.
	Evacuate bool

	// Manager lets the user's systemd manager be asked for a scope, into which
	// this process is moved, where its own group does not do. It takes
	// milliseconds, and Evacuate has to allow it. It is done only where a scope
	// is as limited as the caller's group.
	Manager bool

	// Parts are lists of controllers to be content with, the best first, where
	// not all of Need can be had; [Subtree.Lacks] then says what is missing and
	// why, as for Bare.
	Parts [][]string

	// Bare accepts a subtree that lacks controllers of Need when nothing
	// better is found; [Subtree.Lacks] then says what is missing and why.
	Bare bool

	// First is the id of the first group that will be made. A directory has to
	// be made to find out whether one can be; with the id known it is that
	// group's, and not made twice. Close removes it if the group never came.
	First string

	proc, mount string // for tests: instead of /proc and the cgroup2 mount
	fake        *fake
	ask         func(unit string) error // instead of askForScope
}

// FindError lists each way to a subtree that was tried and why it failed.
type FindError struct {
	Tried []error // each wraps ErrNotDelegated or ErrNoController
}

// Error joins the reasons in one line.
func (e *FindError) Error() string {
	texts := make([]string, len(e.Tried))
	for i, err := range e.Tried {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives errors.Is and errors.As the reasons.
func (e *FindError) Unwrap() []error { return e.Tried }

// FindSubtree looks for a cgroup v2 directory in which groups can be made, by
// trying. It must be called before any user namespace is entered, and once
// for the life of a process. No subtree it returns lets a job shed the limits
// of the cgroup that the caller was given. On
// failure the error is a *[FindError]. The caller closes the subtree.
//
// The ways are tried in order: the caller's own cgroup, then a scope of the
// user's manager.
func FindSubtree(opt FindOptions) (*Subtree, error) {
	if opt.proc == "" {
		opt.proc = "/proc"
	}
	var failed FindError
	var bare *Subtree
	for _, way := range ways(&opt) {
		s, err := way(&opt)
		switch {
		case err == nil && s.lacks == nil:
			if bare != nil {
				bare.Close()
			}
			return s, nil
		case err != nil:
			failed.Tried = append(failed.Tried, err)
		case opt.Bare && bare == nil:
			failed.Tried = append(failed.Tried, s.lacks)
			bare = s
		default:
			failed.Tried = append(failed.Tried, s.lacks)
			s.Close()
		}
	}
	if s := findPart(&opt, bare); s != nil {
		s.lacks = &failed
		return s, nil
	}
	if bare != nil {
		bare.lacks = &failed
		return bare, nil
	}
	return nil, &failed
}

// findPart looks for the first of the parts that can be had: in the subtree
// that has none of its controllers enabled yet, if there is one, or else from
// the manager. It closes the former if the latter does better.
func findPart(opt *FindOptions, bare *Subtree) *Subtree {
	for _, part := range opt.Parts {
		o := *opt
		o.Need = part
		if bare != nil && bare.enablePart(&o) {
			return bare
		}
		if !opt.Manager {
			continue
		}
		switch s, err := managerGroup(&o); {
		case err != nil:
		case s.lacks != nil:
			s.Close()
		default:
			if bare != nil {
				bare.Close()
			}
			return s
		}
	}
	return nil
}

// ways lists the ways in the order in which they are tried.
func ways(opt *FindOptions) []func(*FindOptions) (*Subtree, error) {
	if opt.Manager {
		return []func(*FindOptions) (*Subtree, error){ownGroup, managerGroup}
	}
	return []func(*FindOptions) (*Subtree, error){ownGroup}
}

// ownGroup is the first way: the cgroup in which the caller finds itself.
func ownGroup(opt *FindOptions) (*Subtree, error) {
	const way = "own cgroup"
	membership, err := readFile(opt.proc + "/self/cgroup")
	if err != nil {
		return nil, &reason{way, ErrNotDelegated, err}
	}
	path, ok := v2Path(membership)
	if !ok {
		return nil, &reason{way, ErrNotDelegated, errors.New("this process is in no cgroup v2 hierarchy")}
	}
	own, procs, err := openOwn(opt, path)
	if err != nil {
		return nil, &reason{way + " " + path, ErrNotDelegated, err}
	}
	own, procs, path = aboveLeaf(own, procs, path)
	s := &Subtree{dir: own, proc: opt.proc}
	if s.self, err = self(opt.proc); err == nil {
		err = s.try(opt.First)
	}
	if err != nil {
		s.Close()
		return nil, &reason{way + " " + path, ErrNotDelegated, err}
	}
	if err := s.enable(opt, membership, procs); err != nil {
		s.lacks = &reason{way + " " + path, err.kind, err.why}
	}
	return s, nil
}

// openOwn opens the directory of the cgroup in which this process is, and
// reads which processes it holds. A directory of that name that does not hold
// this process is another one: mounts may show any part of the hierarchy.
func openOwn(opt *FindOptions, path string) (own dir, procs []int, err error) {
	var places []string
	// Nearly everywhere it is at one of these; mountinfo may hold thousands of
	// lines. Where one of them shows our group, and it is not ours to change,
	// no other mount makes it ours.
	usual := []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}
	if opt.mount != "" {
		usual = []string{opt.mount}
	}
	for _, point := range usual {
		place, ok := mountPoint{point: point, root: "/"}.below(path)
		if !ok {
			continue
		}
		own, procs, err = openHolding(opt, place)
		if err == nil || errors.Is(err, errNotOurs) {
			return own, procs, err
		}
		if !errors.Is(err, unix.ENOENT) && point == usual[0] {
			places = append(places, err.Error())
		}
	}
	mountinfo, err := readFile(opt.proc + "/self/mountinfo")
	if err != nil {
		return dir{fd: -1}, nil, err
	}
	for _, mount := range cgroup2Mounts(mountinfo) {
		if place, ok := mount.below(path); ok {
			if own, procs, err = openHolding(opt, place); err == nil {
				return own, procs, nil
			}
			places = append(places, err.Error())
		}
	}
	if places == nil {
		return dir{fd: -1}, nil, errors.New("no cgroup v2 mount shows it")
	}
	return dir{fd: -1}, nil, errors.New(strings.Join(places, ", "))
}

var errNotOurs = errors.New("the group belongs to somebody else")

func openHolding(opt *FindOptions, place string) (dir, []int, error) {
	d, err := openDir(place, opt.fake)
	if err != nil {
		return d, nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(d.fd, &fs); err != nil {
		d.close()
		return d, nil, d.fail("fstatfs", "", err)
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC && opt.fake == nil {
		d.close()
		return d, nil, d.fail("open", "", errors.New("not a cgroup v2 file system"))
	}
	if opt.fake == nil {
		// Asked before the list is read: the root group may hold thousands.
		if err := unix.Faccessat(d.fd, "cgroup.procs", unix.W_OK, unix.AT_EACCESS); errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) {
			d.close()
			return d, nil, fmt.Errorf("%w: %w", errNotOurs, d.fail("open", "cgroup.procs", err))
		}
	}
	procs, err := d.procs()
	if err == nil && !slices.Contains(procs, os.Getpid()) {
		err = d.fail("open", "", errors.New("does not hold this process"))
	}
	if err != nil {
		d.close()
		return dir{fd: -1}, nil, err
	}
	return d, procs, nil
}
