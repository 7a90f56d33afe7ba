package vm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In lane systemd a job is where a login is, in a session scope that root owns, and obtains a delegated group from its
// own user manager, by systemd-run and over D-Bus.
func TestUserManager(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		if lane != Systemd {
			t.Skip("no user manager in lane " + lane)
		}
		m := boot(t, Config{Lane: lane})
		code, out, errOut := run(t, m, `cat /proc/self/cgroup; mkdir /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/x`)
		assert.Contains(t, out, "0::/user.slice/user-12345.slice/session-")
		assert.NotZero(t, code)
		assert.Contains(t, errOut, "Permission denied")

		const use = `g=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); mkdir $g/run && cat $g/cgroup.controllers`
		code, out, errOut = run(t, m, `systemd-run --user --scope --quiet -p Delegate=yes sh -c "$1"`, use)
		assert.Zero(t, code, errOut)
		assert.Equal(t, "cpu memory pids", strings.TrimSpace(out))

		code, out, errOut = run(t, m, `busctl --user --quiet call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
			org.freedesktop.systemd1.Manager StartTransientUnit 'ssa(sv)a(sa(sv))' test.scope fail \
			2 PIDs au 1 $$ Delegate b true 0 || exit 9
			until grep -q test.scope /proc/self/cgroup; do :; done; eval "$1"`, use)
		require.Zero(t, code, errOut)
		assert.Equal(t, "cpu memory pids", strings.TrimSpace(out))
	}, Systemd)
}

// No byte of a job's arguments and environment means anything on the way.
func TestArgumentsAreExact(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		m := boot(t, Config{Lane: lane})
		args := []string{"", " ", "a b", `"`, `'`, `\`, `\n`, "\n", "\t", "%n %%", "$HOME ${HOME}", ";", "ü", "\xff", "@-:+!x"}
		var out strings.Builder
		code, err := m.Run(t.Context(), Job{
			Argv: append([]string{"printf", `[%s]`}, args...), Env: []string{"A= %n $B \"'\\"}, Stdout: &out,
		})
		require.NoError(t, err)
		assert.Zero(t, code)
		assert.Equal(t, "["+strings.Join(args, "][")+"]", out.String())
		code, value, _ := run(t, m, `printf %s "$A"`)
		assert.Zero(t, code)
		assert.Empty(t, value, "the environment of the job before")
		out.Reset()
		code, err = m.Run(t.Context(), Job{Argv: []string{"printenv", "A"}, Env: []string{"A= %n $B \"'\\"}, Stdout: &out})
		require.NoError(t, err)
		assert.Zero(t, code)
		assert.Equal(t, " %n $B \"'\\\n", out.String())
	})
}
