package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// TestNest: runs with subordinate ids after the first one need no helper. Ids,
// groups, rights and limits are the same, for the job and for the host.
func TestNest(t *testing.T) {
	lane.Require(t, "subid")
	const script = `cat /proc/self/setgroups; id
		grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/self/status
		touch /tmp/x && stat -c %u:%g /tmp/x; cat /proc/sys/user/max_user_namespaces; ls -ld / /tmp /home/job | cut -c1-30
		touch /out/$0; exec cat /proc/self/uid_map >&2`
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	sandbox.ForgetNests()
	var first string
	for i := range 4 {
		name := fmt.Sprint("run", i)
		c := sandbox.Command("sh", "-c", script, name)
		c.CWD, c.Map.Mode, c.Binds = sandbox.CWDNone, "auto", []sandbox.Bind{{Source: dir, Target: "/out", Writable: true}}
		var idMap strings.Builder
		c.Stderr = &idMap
		out, r, err := c.Output(t.Context())
		require.NoError(t, err)
		require.Equal(t, sandbox.Exited, r.Verdict)
		if i == 0 {
			first = string(out)
			assert.Contains(t, first, "1000")
			assert.Contains(t, strings.Fields(idMap.String()), fmt.Sprint(os.Getuid()), "the control: the first run is no child of a kept namespace")
		} else {
			assert.Equal(t, first, string(out))
			assert.Equal(t, []string{"0", "0", "1"}, strings.Fields(idMap.String())[:3])
		}
		assert.Equal(t, [2]int{1000, 1000}, r.Identity.Inside)
		var st unix.Stat_t
		require.NoError(t, unix.Stat(filepath.Join(dir, name), &st))
		assert.Equal(t, [2]int{int(st.Uid), int(st.Gid)}, r.Identity.Outside)
		assert.NotEqual(t, os.Getuid(), int(st.Uid))
	}
}

// TestNestEnds: a kept namespace whose process someone has ended is replaced.
func TestNestEnds(t *testing.T) {
	lane.Require(t, "subid")
	run := func() {
		c := sandbox.Command("true")
		c.CWD, c.Map.Mode = sandbox.CWDNone, "auto"
		r, err := c.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, sandbox.Exited, r.Verdict)
	}
	for range 3 {
		run()
	}
	spawners := 0
	for _, fd := range descendants(t, os.Getpid()) {
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
		require.NoError(t, err)
		var pid int
		_, after, _ := strings.Cut(string(info), "\nPid:")
		_, err = fmt.Sscan(after, &pid)
		require.NoError(t, err)
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) == "jailrun-spawner\n" {
			spawners++
			require.NoError(t, unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
		}
		unix.Close(fd)
	}
	require.Positive(t, spawners)
	for range 3 {
		run()
	}
}
