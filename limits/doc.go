// Package limits owns what bounds a job and what is measured of it: cgroup v2
// groups and the search for a subtree in which to make them, resource limits,
// clocks, usage, and the measuring half of the watchdog tier. It never decides
// a verdict, never signals a process outside the groups it made, and never
// logs.
//
// # Two tiers
//
// In the cgroup tier the kernel holds the limit: [FindSubtree] looks for a
// delegated cgroup v2 directory, [Subtree.NewGroup] makes
//
//	run-<pid>-<start>-<boot>-<id>/   memory.max, swap, cpu.max, pids.max N+1
//	├── init/                        pid 1 of the sandbox
//	└── job/                         the job: memory.oom.group, pids.max N
//
// The limits stand on the parent, because a job that is the root of its own
// cgroup namespace may write the files of its own leaf where the hierarchy is
// mounted without nsdelegate. memory.oom.group stands on job/, because on the
// parent the kernel would kill pid 1, and its report, together with the job.
//
// In the watchdog tier nothing is delegated: [Sampler] measures the tree from
// the job's own /proc and [Throttle] decides when it has to stand still. Who
// signals, freezes or kills is the sandbox's affair. This tier catches
// mistakes, not malice; every method that measures states its error bound.
//
// # Whose limits hold
//
// Every subtree lies below the cgroup that the caller was given, or beside it
// where that group limits nothing: the user's systemd manager, asked over
// D-Bus to put this process into a scope of its own, makes it below its own
// service, and a job there would shed what limits the caller. With
// memory.max=30M on a service, its jobs get 30 MB, not 60.
//
// Decision: the manager is asked by a client of our own for one call, not by a
// D-Bus library (it would cost every start of jailrun a quarter more) and not
// by systemd-run (it would have to start this program again). Where there is
// no bus the manager's own socket is asked, as systemd-run does.
//
// # What the kernel cannot tell
//
// A value that the running kernel does not offer is absent ([Opt]), never
// zero: a kernel without memory.peak once reported 0 bytes for every
// submission of a contest.
//
// Decision: cpu.max is written with a period of 100 ms and no burst. A burst
// would let a job that slept run ahead of its share, which a limit of a few
// hundred milliseconds cannot average out; a shorter period makes the share
// smoother but less exact, because unused slices stay with each CPU (up to
// 1 ms per CPU and period).
//
// Decision: a leftover group is swept only if two witnesses agree that its
// runner is gone: the process named in the group's name (pid and start time)
// does not exist, and the lock that the runner holds on the directory
// (flock(2), released by the kernel with the last descriptor) can be taken.
// The name alone is wrong when gc runs in another pid or time namespace; the
// lock alone has a gap between mkdir and flock.
package limits
