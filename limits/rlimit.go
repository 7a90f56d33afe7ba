package limits

import (
	"errors"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Resources is the number of resources that setrlimit(2) knows, RLIMIT_CPU (0)
// to RLIMIT_RTTIME (15).
const Resources = 16

// unlimited is RLIM_INFINITY as prlimit64 writes it.
const unlimited = math.MaxUint64

// RlimitSpec is what was asked of setrlimit(2). A nil field takes the default,
// its zero value takes all of them. Unlike cgroup limits these count per
// process, except NProc.
type RlimitSpec struct {
	NoFile  *uint64 // descriptors of one process; default 1024
	Core    *Size   // size of a core file; default 1 byte, see below
	FSize   *Size   // size of a file written; default unlimited
	Stack   *Size   // main thread's stack; default 8 MiB
	AS      *Size   // address space; default unlimited: a limit breaks Go, the JVM and Node
	MemLock *Size   // locked memory; default 64 KiB

	// NProc bounds the tasks of the job's user in its user namespace (see
	// [NProc]). 0 takes the caller's hard limit and leaves the number to
	// pids.max.
	NProc uint64

	// CPUTime is the job's CPU time limit. One process is stopped by the
	// kernel a second after it, should every watcher fail. 0 means none.
	CPUTime time.Duration
}

// RlimitNote says that a default could not be set because the caller's own
// hard limit is lower: the job gets Have instead of Wanted.
type RlimitNote struct {
	Name         string // "RLIMIT_NOFILE"
	Wanted, Have uint64 // math.MaxUint64: unlimited
}

// String renders the note in words.
func (n RlimitNote) String() string {
	return n.Name + " is " + limitText(n.Have) + " instead of " + limitText(n.Wanted) + ": the caller's hard limit is lower"
}

// rlimits names every resource with what a job gets of it when nothing is
// asked. All are set, so that none is inherited from the caller.
var rlimits = [Resources]struct {
	name     string
	standard uint64
}{
	unix.RLIMIT_CPU:        {"RLIMIT_CPU", unlimited},
	unix.RLIMIT_FSIZE:      {"RLIMIT_FSIZE", unlimited},
	unix.RLIMIT_DATA:       {"RLIMIT_DATA", unlimited},
	unix.RLIMIT_STACK:      {"RLIMIT_STACK", 8 << 20},
	unix.RLIMIT_CORE:       {"RLIMIT_CORE", 1}, // 0 still starts a piped core_pattern helper as host root, 1 does not (core(5))
	unix.RLIMIT_RSS:        {"RLIMIT_RSS", unlimited},
	unix.RLIMIT_NPROC:      {"RLIMIT_NPROC", unlimited},
	unix.RLIMIT_NOFILE:     {"RLIMIT_NOFILE", 1024},
	unix.RLIMIT_MEMLOCK:    {"RLIMIT_MEMLOCK", 64 << 10},
	unix.RLIMIT_AS:         {"RLIMIT_AS", unlimited},
	unix.RLIMIT_LOCKS:      {"RLIMIT_LOCKS", unlimited},
	unix.RLIMIT_SIGPENDING: {"RLIMIT_SIGPENDING", 256},
	unix.RLIMIT_MSGQUEUE:   {"RLIMIT_MSGQUEUE", 0}, // queues are charged to the user who made the namespace: the caller would have none left
	unix.RLIMIT_NICE:       {"RLIMIT_NICE", 0},
	unix.RLIMIT_RTPRIO:     {"RLIMIT_RTPRIO", 0},
	unix.RLIMIT_RTTIME:     {"RLIMIT_RTTIME", unlimited},
}

// Rlimits computes all sixteen limits of a job, soft equal to hard, from what
// was asked and the caller's own hard limits, which a process without
// CAP_SYS_RESOURCE in the initial user namespace cannot exceed: a value that
// was asked for and lies above is an error, a default is lowered and noted. It
// is pure.
func Rlimits(asked RlimitSpec, hard [Resources]unix.Rlimit) ([Resources]unix.Rlimit, []RlimitNote, error) {
	wanted, isAsked := asked.values()
	if !isAsked[unix.RLIMIT_NPROC] {
		wanted[unix.RLIMIT_NPROC] = hard[unix.RLIMIT_NPROC].Max
	}
	var set [Resources]unix.Rlimit
	var notes []RlimitNote
	for i, value := range wanted {
		if limit := hard[i].Max; value > limit {
			if isAsked[i] {
				return set, nil, errors.New(rlimits[i].name + " " + limitText(value) + ": the caller's hard limit is " +
					limitText(limit) + "; ask for at most that, or raise it")
			}
			notes = append(notes, RlimitNote{rlimits[i].name, value, limit})
			value = limit
		}
		set[i] = unix.Rlimit{Cur: value, Max: value}
	}
	return set, notes, nil
}

// values lays the asked values over the defaults.
func (r *RlimitSpec) values() (wanted [Resources]uint64, asked [Resources]bool) {
	for i := range rlimits {
		wanted[i] = rlimits[i].standard
	}
	put := func(resource int, value uint64) { wanted[resource], asked[resource] = value, true }
	if r.NoFile != nil {
		put(unix.RLIMIT_NOFILE, *r.NoFile)
	}
	for _, size := range [...]struct {
		resource int
		value    *Size
	}{
		{unix.RLIMIT_CORE, r.Core},
		{unix.RLIMIT_FSIZE, r.FSize},
		{unix.RLIMIT_STACK, r.Stack},
		{unix.RLIMIT_AS, r.AS},
		{unix.RLIMIT_MEMLOCK, r.MemLock},
	} {
		if size.value != nil {
			put(size.resource, uint64(*size.value))
		}
	}
	if r.NProc > 0 {
		put(unix.RLIMIT_NPROC, r.NProc)
	}
	if r.CPUTime > 0 {
		// A belt, so it is no error when the caller's own limit is tighter.
		wanted[unix.RLIMIT_CPU] = uint64((r.CPUTime-1)/time.Second) + 2
	}
	return wanted, asked
}

// NProc returns the RLIMIT_NPROC that holds a job to the given number of tasks
// in a user namespace of its own (Linux 5.14 or later, where the count is per
// namespace and user). sameUser says that pid 1 has the job's user id and
// counts too.
func NProc(tasks uint64, sameUser bool) uint64 {
	if sameUser {
		tasks++
	}
	return tasks
}

// HardLimits reads the sixteen limits of the calling process for [Rlimits].
func HardLimits() ([Resources]unix.Rlimit, error) {
	var own [Resources]unix.Rlimit
	for i := range own {
		if err := unix.Prlimit(0, i, nil, &own[i]); err != nil {
			return own, os.NewSyscallError("prlimit "+rlimits[i].name, err)
		}
	}
	return own, nil
}

func limitText(value uint64) string {
	if value == unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(value, 10)
}
