package limits

import "golang.org/x/sys/unix"

// Give lets the user uid place processes in the leaves of the group, by
// clone3 with CLONE_INTO_CGROUP: the kernel asks for write access to
// cgroup.procs of the target and of the nearest group above both leaves, that
// of the run. It needs the right to change owners. The limits stand in files
// that keep their owner, and a job sees no cgroup file system at all.
func (g *Group) Give(uid int) error {
	for _, d := range [...]dir{g.run, g.job} {
		if err := unix.Fchownat(d.fd, "cgroup.procs", uid, -1, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return d.fail("chown", "cgroup.procs", err)
		}
	}
	return nil
}
