package limits

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// callerLeaf is where evacuated processes live, and where a later run of the
// same shell finds itself.
const callerLeaf = "jailrun-caller"

// evacuate moves the caller and its ancestors from the subtree's own directory
// into a leaf below, and never anybody else: a process that is neither is a
// reason not to. undo moves them back.
func (s *Subtree) evacuate() (undo func(), err error) {
	leaf, err := s.dir.make(callerLeaf)
	if errors.Is(err, unix.EEXIST) {
		leaf, err = s.dir.child(callerLeaf)
	}
	if err != nil {
		return nil, err
	}
	var moved []int
	undo = func() {
		for _, pid := range moved {
			_ = s.dir.write("cgroup.procs", strconv.Itoa(pid))
		}
		leaf.close()
		_ = s.dir.rmdir(callerLeaf) // stays if others live in it
		s.evacuated = nil
	}
	// An ancestor may fork between reading and moving; its new child is then
	// found in the next round, as a stranger.
	for range 4 {
		var procs, kin []int
		if procs, err = s.dir.procs(); err != nil {
			break
		}
		if len(procs) == 0 {
			leaf.close()
			s.evacuated = moved
			return undo, nil
		}
		if kin, err = s.onlyKin(procs); err != nil {
			break
		}
		for _, pid := range kin {
			if err = leaf.write("cgroup.procs", strconv.Itoa(pid)); err == nil {
				moved = append(moved, pid)
			} else if !errors.Is(err, unix.ESRCH) { // it has just ended
				undo()
				return nil, err
			}
		}
		err = errors.New("processes keep appearing in it")
	}
	undo()
	return nil, err
}

// onlyKin returns those of the processes that are the caller or its ancestors,
// and an error if there are others. One that /proc does not show may have just
// ended, or be hidden from us (hidepid): it is left out, and found again in
// the next round if it is still there.
func (s *Subtree) onlyKin(procs []int) (kin []int, err error) {
	own := ancestors(s.proc)
	var strangers []string
	for _, pid := range procs {
		if slices.Contains(own, pid) {
			kin = append(kin, pid)
			continue
		}
		if pid == 0 {
			strangers = append(strangers, "some of another pid namespace")
			continue
		}
		stat, err := readStat(s.proc, strconv.Itoa(pid))
		if !errors.Is(err, os.ErrNotExist) {
			strangers = append(strangers, strconv.Itoa(pid)+" "+strconv.Quote(string(stat.comm)))
		}
	}
	if strangers == nil {
		return kin, nil
	}
	const shown = 3
	if len(strangers) > shown {
		strangers = append(strangers[:shown], "...")
	}
	return nil, errors.New("it also holds processes that are not the caller's to move: " + strings.Join(strangers, ", "))
}

// ancestors returns the caller and its ancestors, as far as /proc shows them.
func ancestors(proc string) []int {
	pid := os.Getpid()
	var all []int
	for pid > 0 && !slices.Contains(all, pid) {
		all = append(all, pid)
		stat, err := readStat(proc, strconv.Itoa(pid))
		if err != nil {
			break
		}
		pid = stat.ppid
	}
	return all
}

// aboveLeaf steps from the leaf of an earlier evacuation up to the directory
// it was made in: that, not the leaf, is the cgroup the caller was given. It
// stays where it is if somebody has put a limit on the leaf since, which a
// job beside it would shed.
func aboveLeaf(own dir, procs []int, place string) (dir, []int, string) {
	if path.Base(place) != callerLeaf || !hasNoLimit(own) {
		return own, procs, place
	}
	above, err := openDir(path.Dir(own.path), own.fake)
	if err != nil {
		return own, procs, place
	}
	if procs, err = above.procs(); err != nil {
		above.close()
		return own, procs, place
	}
	own.close()
	return above, procs, path.Dir(place)
}

// limitFiles are the files in which a limit can stand, with the texts of none.
var limitFiles = [...]struct{ name, none string }{
	{"memory.max", "max"},
	{"memory.high", "max"},
	{"memory.swap.max", "max"},
	{"pids.max", "max"},
	{"cpu.max", "max"},
	{"cpuset.cpus", ""},
	{"io.max", ""},
}

// hasNoLimit reports whether a group has no limit of its own. A file that is
// not there limits nothing; one that cannot be read might.
func hasNoLimit(d dir) bool {
	for _, file := range limitFiles {
		text, err := d.read(file.name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ") // "max 100000" in cpu.max
		if err != nil || first != file.none {
			return false
		}
	}
	return true
}
