// Package fs appends to a program the steps that make a job's root file system.
//
// The root is one tmpfs, bounded by the job's disk limit, that init mounts on a
// directory of the host and pivots into at once: every later target is resolved
// inside the new root, so no symbolic link can lead out of it, while the host
// waits below [Old] until it is detached.
//
//	/                 tmpfs: size and inodes bound all writable areas together
//	/usr /opt …       the host's, bound read-only with all below them
//	/bin /lib …       as the host has them: symbolic links, or bound as well
//	/etc              what programs need of the host's, the rest fabricated
//	/dev              five devices, links, shm; read-only
//	/proc             fresh, masked; init writes namespace limits, then it is
//	                  made read-only by the job's own steps
//	/tmp /home/job    directories of the tmpfs
//	/work             the current directory: overlay, bound, or absent
//
// Decision: upper and work directory of overlays and the memory of /dev/shm lie
// in directories below the tmpfs's /proc, which the proc file system then
// covers: one tmpfs, one bound, and the job cannot reach behind its overlays.
//
// Decision: a directory that is given read-only is the only lower layer of an
// overlay, too. Bound, it would lend the job the host's sockets and FIFOs, which
// a read-only mount does not close, and its locks and watches would be seen
// outside. It costs a third of an lstat (1.22 µs for 0.91, of which the system
// call filter takes 0.04; bound, as with :sockets, 0.94).
//
// Decision: where no overlay is possible, what is small is copied into the tmpfs,
// and what is large is fuse-overlayfs', if that is installed; else it is bound
// read-only, or refused by name. As it is usually run, fuse-overlayfs answers a
// job's requests outside of the sandbox, with the caller's rights over all of the
// caller's files and outside of the job's limits, so that a bug in it is a way
// out. Here it is in a sandbox of its own (see [Server]). Init makes the mount, so
// that the server needs no right to, and gets /dev/fuse open as its descriptor 3
// (libfuse takes /dev/fd/3 for a mount point since 3.3). The copy stays first:
// it needs no second process, and no operation takes two switches between them.
//
// Decision: /proc is mounted without hidepid. The job sees init either way by
// kill(2), and hidepid=2 would hide from the watchdog every process whose
// program file its user may not read.
package fs
