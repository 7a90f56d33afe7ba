package sandbox

import "testing"

// WithoutFuse lets no fuse-overlayfs be found until the test is over. Such a
// test must not run beside others, nor one WithoutUserXattr.
func WithoutFuse(t testing.TB) {
	t.Helper()
	dirs := fuseDirs
	fuseDirs = nil
	t.Cleanup(func() { fuseDirs = dirs })
}

// WithoutUserXattr has runs plan as on a kernel before Linux 6.6.
func WithoutUserXattr(t testing.TB) {
	t.Helper()
	had := userXattr
	userXattr = func() bool { return false }
	t.Cleanup(func() { userXattr = had })
}

// Servers are the pids of the init processes of the running job's servers.
func (c *Cmd) Servers() (pids []int) {
	for _, s := range c.run.servers {
		pids = append(pids, s.proc.Pid)
	}
	return pids
}
