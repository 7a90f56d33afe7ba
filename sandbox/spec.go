package sandbox

import (
	"time"

	"github.com/jailrun/jailrun/limits"
)

// A Spec is what was asked: plain data, computed from flags or a job file and
// printable as it stands. The zero value of every field is the safe choice; a
// Spec with Args alone runs the program in the composed host root, without
// network, with every wall in force.
type Spec struct {
	// Args is the program and its arguments. A name without a slash is looked
	// up in the job's own PATH, inside the sandbox. Nil means the program of
	// the image that Rootfs names; without one it must not be empty.
	Args []string
	// Env is the whole environment of the job as K=V, in order, the last of a
	// name wins. Nil means [DefaultEnv], with what the image that Rootfs names
	// sets; nothing is taken from the caller.
	Env []string
	// AddEnv is set besides, on top of Env or of what stands for it.
	AddEnv []string

	// Dir is the directory outside that is taken as current; "" means the
	// process's own. It is seen inside as [WorkDir], in the way CWD says.
	Dir string
	// CWD says how Dir is seen inside; zero chooses [CWDCopy] where that is
	// right, and says in Result.Notes if it is not.
	CWD CWD
	// Workdir is the job's first working directory inside; "" means
	// [WorkDir], or HOME when Dir is not seen; or that of an image, if CWD is
	// zero.
	Workdir string

	// Rootfs is "" or "host" for the root composed of the host's system
	// directories; a path, with a slash in it, of a directory or of the tar of
	// a root; oci:DIR[:TAG] for an OCI layout; docker-archive:FILE[:TAG] for
	// what docker save writes; or the name of an imported image. Files are
	// imported by [Cmd.ImportImage] unless that has been done.
	Rootfs string
	// ReadOnlyRoot leaves the root without a writable layer; /tmp, HOME and
	// /dev/shm stay writable.
	ReadOnlyRoot bool
	// Layers are directories that lie over Rootfs as further read-only layers,
	// the last one on top. They hold files as overlay has them: a character
	// device 0:0 hides a name, user.overlay.opaque=y what a directory has below.
	// A file is the tar of a layer in the form of the OCI image specification,
	// as ExportLayer writes it; it is imported by [Cmd.ImportImage] unless that
	// has been done. They need a Rootfs other than host.
	Layers []string
	// Upper is a directory outside that keeps what is written to the root: its
	// directory "upper" is the writable layer, and can be one of Layers later.
	// It is made if it does not exist, is held for one run at a time, and needs
	// a Rootfs other than host. "" keeps nothing.
	Upper string
	// Binds, Tmpfs, Files and CopyIn are added to the root in this order.
	Binds  []Bind
	Tmpfs  []Tmpfs
	Files  []File
	CopyIn []CopyIn
	// CopyOut, Diff and ExportLayer collect what the job has left, when all its
	// processes are dead and whatever the verdict is.
	CopyOut []CopyOut
	// Diff names a file outside that receives what the job has created, changed
	// and deleted, a JSON object a line: see [Change]. "" writes none.
	Diff string
	// ExportLayer names a file outside that receives what the job has changed of
	// a root of layers, as a tar that is an OCI layer, with whiteouts. "" writes
	// none. It needs a Rootfs other than host.
	ExportLayer string

	// Map says which ids the job has; the zero value is the caller's own id as
	// root inside. As root a locked block of unprivileged ids is used instead.
	Map Map
	// User is the job's uid and gid inside, as "UID[:GID]", or "caller". ""
	// means that of an image, else 0 under the self map and as root, 1000 under
	// auto.
	User string
	// Hostname is the name inside; "" means "jail".
	Hostname string
	// Net is the job's network; zero is none but its own loopback.
	Net Net
	// Seccomp names the built-in profile: default, judge, strict, or none,
	// which needs UnsafeNoSeccomp. "" means default.
	Seccomp string
	// Filter, if set, is a profile of the caller's own as [LoadProfile] returns
	// it, and Seccomp the name by which results call it. One that lets calls of
	// another ABI or of later kernels pass is refused.
	Filter *Filter
	// RecordCalls lists every system call in Result.Calls. Each then takes
	// microseconds more; the filter answers as it does without.
	RecordCalls bool
	// AllowMissing names walls of the confinement that may be missing on this
	// host where that would be an error: [WallKeyring], [WallLandlock].
	AllowMissing []string
	// Require names walls that must not be missing although hosts without them
	// are served: [WallLandlock]; and [RequireOverlay].
	Require []string
	// Unsafe names protections that are given up; see the Unsafe constants.
	Unsafe []string

	// Runtime names a language runtime that is told the limits by variables
	// of its own: one of [Runtimes]. "" and "none" add nothing; "auto" goes by
	// the program's name.
	Runtime string

	Limits Limits
}

// WorkDir is where the job sees the current directory. It is a fixed name, so
// that the job learns no path of the host.
const WorkDir = "/work"

// Home is the job's writable HOME.
const Home = "/home/job"

// Names for Spec.Unsafe.
const (
	UnsafeNoSeccomp   = "seccomp-none" // Seccomp "none"
	UnsafeBindHome    = "bind-home"    // Binds and CWD may show homes and system directories
	UnsafeBindSockets = "bind-sockets" // Binds may show sockets and FIFOs
	UnsafeNetHost     = "net-host"     // Net NetHost
)

// CWD is the way in which the current directory is seen inside.
type CWD uint8

// The ways.
const (
	CWDAuto     CWD = iota // CWDCopy where it is right, else CWDReadOnly or CWDNone with a note
	CWDCopy                // files are seen, writes are kept aside and discarded
	CWDReadOnly            // files are seen, writes fail
	CWDWritable            // the directory itself
	CWDNone                // not seen
)

// A Bind shows a file or directory of the host inside.
type Bind struct {
	Source   string // outside; relative to Spec.Dir
	Target   string // inside, absolute; "" means Source made absolute
	Writable bool   // false: read-only with all mounts below
	NoExec   bool
	Optional bool // a missing Source is no error
	Sockets  bool // UNIX sockets and FIFOs below Source may be used
}

// A Tmpfs is an empty writable directory of its own.
type Tmpfs struct {
	Target string // inside, absolute
	// Size in bytes of a tmpfs of its own, at most Limits.Disk; 0 makes it a
	// directory of the root's tmpfs, which Limits.Disk bounds as a whole.
	Size limits.Size
}

// A File is a small file that is written into the root.
type File struct {
	Target  string // inside, absolute
	Content []byte
}

// A Map chooses the id mapping.
type Map struct {
	// Mode: "" or "self", "auto", "auto:isolated", or explicit ranges as
	// "IN:OUT:N[,IN:OUT:N…]".
	Mode string
}

// Net is the job's network.
type Net uint8

// The networks.
const (
	NetNone Net = iota // a namespace of its own, with loopback up
	NetHost            // the host's; needs UnsafeNetHost
)

// Limits are the bounds of a job. A zero field means no such limit unless it
// says otherwise. A limit that cannot be enforced is an error or stands in the
// ledger ([Result.Limits]) with what enforces it instead.
type Limits struct {
	Memory limits.Size // bytes, whole tree; a swap of 0 goes with it
	// MemoryHigh in bytes: above it the job is slowed down and reclaimed from,
	// not killed. It needs a delegated cgroup.
	MemoryHigh limits.Size
	Swap       limits.Size // bytes on top of Memory
	CPU        limits.CPU  // bandwidth
	CPUs       string      // list of CPUs as in cpuset.cpus; "" all
	Weight     int         // share under contention, 1–10000; 0 none asked
	Pids       int         // tasks of the job; 0 means [DefaultPids], -1 none

	CPUTime time.Duration // user+system of the whole tree; sets Wall to 3 × it + 1 s if that is 0
	Wall    time.Duration // until the main process ends
	// Grace: SIGTERM to the main process first, SIGKILL to all after Grace;
	// for limits, and for a cancel unless CancelGrace says otherwise.
	Grace time.Duration
	// CancelGrace: the same for a cancel; 0 means Grace.
	CancelGrace time.Duration

	Output         limits.Size // bytes of stdout and stderr passed on
	TruncateOutput bool        // go on without passing on, instead of killing

	Disk   limits.Size // bytes of all writable areas together; 0 means [DefaultDisk]
	Inodes int         // of all writable areas; 0 means [DefaultInodes]

	// Rlimits holds the per-process limits that differ from the defaults.
	Rlimits limits.RlimitSpec

	// IORead and IOWrite in bytes a second, of each block device; IOWeight is
	// the share under contention, 1–10000. They need a delegated cgroup.
	IORead, IOWrite limits.Size
	IOWeight        int

	RequireCgroup bool // refuse the watchdog tier
}

// Defaults of Limits.
const (
	DefaultPids   = 512
	DefaultDisk   = 512 << 20
	DefaultInodes = 128 << 10
)

// DefaultEnv returns the environment of a job that asks for none.
func DefaultEnv() []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + Home, "USER=job", "LOGNAME=job",
		"TMPDIR=/tmp", "LANG=C.UTF-8", "TAR_OPTIONS=--no-same-owner",
	}
}
