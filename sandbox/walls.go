package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// A Wall is one layer of the confinement in force.
type Wall struct {
	Name    string `json:"wall"`
	Profile string `json:"profile,omitempty"`
	// Evidence is what stands for it: the steps of the launch that make it,
	// each of which the kernel had answered before the job's program began. For
	// a missing one it is why.
	Evidence string `json:"evidence,omitempty"`
	Missing  bool   `json:"missing,omitempty"` // this host lacks it
}

// Walls that a host may lack, as Spec.AllowMissing and Spec.Require name them.
const (
	WallKeyring  = "keyring"
	WallLandlock = "landlock"
)

// RequireOverlay in Spec.Require refuses to do without an overlay where this
// host allows none: no copy in its place, no bind mount, nothing read-only.
const RequireOverlay = "overlay"

var waivable = [...]string{WallKeyring, WallLandlock}

func (s *Spec) waives(wall string) bool   { return slices.Contains(s.AllowMissing, wall) }
func (s *Spec) requires(wall string) bool { return slices.Contains(s.Require, wall) }

func checkWalls(s *Spec) error {
	for _, w := range s.AllowMissing {
		if !slices.Contains(waivable[:], w) {
			return fieldError("allow-missing", w, "no wall of that name can be missing, want %s or %s", WallKeyring, WallLandlock)
		}
	}
	for _, w := range s.Require {
		switch {
		case w == RequireOverlay:
		case w != WallLandlock:
			return fieldError("require", w, "want cgroup, %s or %s; every other wall is required anyway", WallLandlock, RequireOverlay)
		case s.waives(w):
			return fieldError("require", w, "is waived by --allow-missing at the same time")
		}
	}
	return nil
}

// lack notes that this host lacks a wall. Where it is an error, it names the
// flag that waives it.
func (pl *Plan) lack(s *Spec, wall, why string, fatal bool) error {
	if fatal && !s.waives(wall) {
		return &Error{
			Stage: "confine", Op: "wall " + wall, Err: errMissing(why),
			Hint: "to run without this wall: --allow-missing " + wall,
		}
	}
	pl.walls = append(pl.walls, Wall{Name: wall, Missing: true, Evidence: why})
	return nil
}

// errMissing says why a wall cannot be built.
type errMissing string

func (e errMissing) Error() string { return string(e) }

// keyrings says whether the kernel has keyrings to share; an error means that
// something else refused the question. It asks for the process's keyring: to
// be asked for that of the session, the kernel makes two for the user, which
// stay.
func keyrings() (bool, error) {
	_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_PROCESS_KEYRING, false)
	switch err {
	case nil, unix.ENOKEY, unix.EKEYREVOKED, unix.EKEYEXPIRED:
		return true, nil
	case unix.ENOSYS:
		return false, nil
	}
	return false, err
}

// constantWalls are those that every host has: a step of theirs that fails
// fails the launch.
func (pl *Plan) constantWalls(rl [limits.Resources]unix.Rlimit, f *facts) {
	add := func(name, evidence string) { pl.walls = append(pl.walls, Wall{Name: name, Evidence: evidence}) }
	add("namespaces", pl.Program.FlagsText[:len(pl.Program.FlagsText)-len("|CLONE_PIDFD")]+"|CLONE_NEWCGROUP")
	proc := "/proc read-only"
	if pl.root.PidProc {
		proc += ", of processes alone"
	}
	add("root", "pivot_root to a root of its own; "+proc)
	add("capabilities", "none in any set, the bounding set empty")
	add("securebits", secureBitsText)
	add("no_new_privs", "PR_SET_NO_NEW_PRIVS")
	add("nested_namespaces", "/proc/sys/user/max_*_namespaces 0")
	add("init", "pid 1 is not dumpable, keeps CAP_KILL alone and has a filter of its own")
	add("oom_score_adj", "1000")
	if rl[unix.RLIMIT_CORE].Max <= 1 {
		add("core_helpers", "RLIMIT_CORE 1: core_pattern starts nothing")
	}
	if f.timeNS {
		add("time_namespace", "CLONE_NEWTIME")
	}
}
