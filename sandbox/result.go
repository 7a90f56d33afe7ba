package sandbox

import (
	"encoding/json"
	"time"
)

// A Verdict says why the job ended. There is exactly one.
type Verdict string

// The verdicts. A judge treats Killed and ErrorVerdict as its own fault.
const (
	Exited       Verdict = "exited"      // the main process exited; ExitCode
	Signaled     Verdict = "signaled"    // a signal of its own ended it; Signal
	CPUTime      Verdict = "cpu_time"    // Limits.CPUTime
	WallTime     Verdict = "wall_time"   // Limits.Wall
	MemoryLimit  Verdict = "memory"      // Limits.Memory
	OutputLimit  Verdict = "output"      // Limits.Output
	DiskLimit    Verdict = "disk"        // Limits.Disk, where the runner watches it
	CPUShare     Verdict = "cpu_share"   // resisted the watchdog's CPU limit
	Syscall      Verdict = "syscall"     // killed by the filter
	Canceled     Verdict = "canceled"    // our caller asked
	Killed       Verdict = "killed"      // someone else killed it, or its group vanished
	NotStarted   Verdict = "not_started" // execve failed
	ErrorVerdict Verdict = "error"       // jailrun failed; Error
)

// A Result is what became of a job. Times are integer nanoseconds and sizes
// bytes in JSON; a field that the kernel cannot tell is absent (nil), never 0.
type Result struct {
	Version   int       `json:"version"` // of this format: 1
	ID        string    `json:"id"`
	Jailrun   string    `json:"jailrun"`
	Kernel    string    `json:"kernel"`
	StartedAt time.Time `json:"started_at"`
	Argv      []string  `json:"argv"`
	Tier      Tier      `json:"tier,omitempty"`

	Verdict  Verdict `json:"verdict"`
	Cause    string  `json:"cause,omitempty"`     // the evidence, in words
	ExitCode *int    `json:"exit_code,omitempty"` // for Exited
	Signal   *int    `json:"signal,omitempty"`    // that ended the main process
	Hint     string  `json:"hint,omitempty"`

	Wall  time.Duration `json:"wall_ns"`  // from the release of execve to the end of the main process
	Setup time.Duration `json:"setup_ns"` // from the start of the launch to that release

	CPU             *CPUUsage       `json:"cpu,omitempty"`
	Memory          *MemoryUsage    `json:"memory,omitempty"`
	Pids            *CountUsage     `json:"pids,omitempty"`
	Disk            *DiskUsage      `json:"disk,omitempty"`
	IO              *IOUsage        `json:"io,omitempty"`
	ContextSwitches *ContextUsage   `json:"context_switches,omitempty"`
	Pressure        *Pressures      `json:"pressure,omitempty"`
	Stdout          *Stream         `json:"stdout,omitempty"`
	Stderr          *Stream         `json:"stderr,omitempty"`
	Limits          []Enforced      `json:"limits"`
	Identity        *Identity       `json:"identity,omitempty"`
	Confinement     []Wall          `json:"confinement,omitempty"`
	Startup         *Startup        `json:"startup,omitempty"`
	Runtime         *RuntimeReport  `json:"runtime,omitempty"`
	Noise           *NoiseReport    `json:"noise,omitempty"`
	Repeat          *RepeatReport   `json:"repeat,omitempty"`
	Network         json.RawMessage `json:"network,omitempty"` // what Cmd.Network counted, in its own form
	// Discarded counts the files and directories that a copied current
	// directory had taken and that went with the sandbox; it stops at 10000.
	Discarded *int `json:"discarded,omitempty"`
	// Denied are the system calls that the filter refused, as far as they are
	// named; the calls that it answers with ENOSYS are not.
	Denied []DeniedCall `json:"denied,omitempty"`
	// Calls are all system calls of a run that records ([Spec.RecordCalls]).
	Calls []RecordedCall `json:"calls,omitempty"`
	// Collected tells of each CopyOut, ExportLayer and Diff.
	Collected []Collected  `json:"collected,omitempty"`
	Notes     []string     `json:"notes,omitempty"` // what was decided differently from what was asked by default
	Error     *ErrorReport `json:"error,omitempty"` // for ErrorVerdict and NotStarted
}

// A Tier says who enforces the limits.
type Tier string

// The tiers.
const (
	TierCgroup   Tier = "cgroup"   // the kernel, through a delegated cgroup v2 subtree
	TierWatchdog Tier = "watchdog" // the runner, by sampling; against mistakes, not malice
)

// CPUUsage is CPU time of the whole tree.
type CPUUsage struct {
	Total       time.Duration  `json:"total_ns"`
	User        *time.Duration `json:"user_ns,omitempty"`
	System      *time.Duration `json:"system_ns,omitempty"`
	Throttled   *time.Duration `json:"throttled_ns,omitempty"`
	NrThrottled *int64         `json:"nr_throttled,omitempty"`
}

// MemoryUsage is in bytes, of the whole tree.
type MemoryUsage struct {
	Peak *int64 `json:"peak,omitempty"`
	// AnonPeak is the most anonymous memory, page cache and files left out. No
	// kernel counts it: it is looked for every 1 to 128 ms, sooner while the job
	// grows, so there may have been more in between. Absent in the watchdog tier.
	AnonPeak      *int64 `json:"anon_peak,omitempty"`
	File          *int64 `json:"file,omitempty"`
	Shmem         *int64 `json:"shmem,omitempty"`
	Kernel        *int64 `json:"kernel,omitempty"`
	SwapPeak      *int64 `json:"swap_peak,omitempty"`
	MaxRSS        *int64 `json:"max_rss,omitempty"` // of the largest single process
	OOMKillEvents *int64 `json:"oom_kill_events,omitempty"`
	LimitHits     *int64 `json:"limit_hits,omitempty"`
	// Metric names the counter that decides the verdict memory; "" where no
	// memory limit was asked. Page cache alone never decides it: the kernel
	// gives it up before it kills, and the watchdog does not count it.
	Metric string `json:"metric,omitempty"`
}

// Pressures is the time in which tasks of the job waited for a resource. The
// kernel counts it where it has pressure stall information turned on.
type Pressures struct {
	CPU    *Pressure `json:"cpu,omitempty"`
	Memory *Pressure `json:"memory,omitempty"`
	IO     *Pressure `json:"io,omitempty"`
}

// Pressure is time in which some tasks, or all of them at once, stood still.
type Pressure struct {
	Some time.Duration `json:"some_ns"`
	Full time.Duration `json:"full_ns"`
}

// CountUsage is the peak of a counted resource and how often its limit was met.
type CountUsage struct {
	Peak      *int64 `json:"peak,omitempty"`
	LimitHits *int64 `json:"limit_hits,omitempty"`
}

// DiskUsage is in bytes, of all writable areas together.
type DiskUsage struct {
	Used   int64 `json:"used"`   // at the end
	Peak   int64 `json:"peak"`   // as far as it was seen: sampled, and at the end
	Inodes int64 `json:"inodes"` // most files and directories, likewise, with the root's own few dozen
	Full   bool  `json:"full"`   // no room was left at the end
	// LimitHits is how often the areas were found full, bytes or inodes, or the
	// job was killed for it. The kernel counts no refusals: one that leaves room
	// behind, as of fallocate(2), is not seen.
	LimitHits int64 `json:"limit_hits"`
}

// IOUsage is in bytes.
type IOUsage struct {
	Read  *int64 `json:"read_bytes,omitempty"`
	Write *int64 `json:"write_bytes,omitempty"`
}

// ContextUsage counts context switches of what init reaped.
type ContextUsage struct {
	Voluntary   int64 `json:"voluntary"`
	Involuntary int64 `json:"involuntary"`
}

// A Stream is one output of the job.
type Stream struct {
	Bytes     int64 `json:"bytes"` // written by the job, as far as it was read
	Truncated bool  `json:"truncated"`
}

// Enforced is one row of the ledger.
type Enforced struct {
	Name         string `json:"name"`
	Asked        any    `json:"asked"`         // number or string, in the flag's unit: bytes, ns, per mille of a CPU, count
	Mechanism    string `json:"mechanism"`     // "cgroup memory.max", "RLIMIT_NPROC", …
	EnforcedBy   string `json:"enforced_by"`   // "kernel" or "watchdog"
	HoldsAgainst string `json:"holds_against"` // "everything" or "mistakes"
	Note         string `json:"note,omitempty"`
}

// Identity says who the job was.
type Identity struct {
	Map        string `json:"map"`
	Inside     [2]int `json:"inside"`  // uid, gid
	Outside    [2]int `json:"outside"` // uid, gid
	GroupsKept []int  `json:"groups_kept,omitempty"`
}

// Startup is the time the launch spent in each part, and the end in all.
type Startup struct {
	// Scope is what the user's systemd manager took to make a scope for this
	// process, in the first run of it that needed one; it is part of Clone.
	Scope time.Duration `json:"scope_ns,omitempty"`
	// Pooled: a pool had prepared the sandbox before the start. Group, Clone and
	// Root are times of that preparation; Confine is what the start still took.
	Pooled  bool          `json:"pooled,omitempty"`
	Group   time.Duration `json:"group_ns"`
	Clone   time.Duration `json:"clone_ns"` // with all that the runner prepares before it
	Root    time.Duration `json:"root_ns"`
	Network time.Duration `json:"network_ns,omitempty"` // that init waited for Cmd.Network; else part of Root or Confine
	Confine time.Duration `json:"confine_ns"`
	Exec    time.Duration `json:"exec_ns"` // until the runner knows of it
	// Teardown is from the end of the main process until nothing was left of
	// the sandbox, or until the caller was let go of (Cmd.LeaveInit).
	Teardown time.Duration `json:"teardown_ns,omitempty"`
	// Stages are the same in detail, if Cmd.TraceStartup asked for them.
	Stages []StageTime `json:"stages,omitempty"`
}

// A StageTime is one stretch of a launch. Those of init and of the job run side
// by side once init has forked the job.
type StageTime struct {
	Process string        `json:"process"`  // "runner", "init" or "job"
	Stage   string        `json:"stage"`    // as `jailrun plan` names it
	Start   time.Duration `json:"start_ns"` // since the start of the launch
	Took    time.Duration `json:"took_ns"`
}

// An ErrorReport is an [Error] in a Result.
type ErrorReport struct {
	Stage      string `json:"stage"`
	Op         string `json:"op,omitempty"`
	Path       string `json:"path,omitempty"`
	Errno      string `json:"errno,omitempty"`
	Hint       string `json:"hint,omitempty"`
	Text       string `json:"text"`
	JobStarted bool   `json:"job_started"`
}
