package wire

// Path is the PATH of jobs.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// The host shapes: hosts on which users met trouble, reproduced by configuration.
const (
	ShapeMemoryPids     = "memory-pids"     // only the controllers memory and pids are delegated
	ShapeCgroupReadOnly = "cgroup-ro"       // cgroupfs is mounted read-only, as in a plain container
	ShapeUndelegated    = "undelegated"     // the job's group belongs to root
	ShapeSubtreeRoot    = "subtree-root"    // the job sits in the root of its delegated subtree; above it is root's
	ShapeNoBus          = "no-bus"          // lane systemd: no user bus
	ShapeNoUserNS       = "no-userns"       // user.max_user_namespaces=0
	ShapeNoUserNSClone  = "no-userns-clone" // kernel.unprivileged_userns_clone=0 (Debian's kernels)
	ShapeMaskedProc     = "masked-proc"     // /proc is covered as in an unprivileged container
	ShapeSwap           = "swap"            // swap is present
	ShapeNoNSDelegate   = "no-nsdelegate"   // cgroup2 is mounted without nsdelegate
)
