package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/tests/lane"

	"github.com/jailrun/jailrun/tests/program"
)

// hungry wants 60 MB and says so when it has them.
const hungry = `python3 -c 'a=bytearray(60*10**6); print("survived")'`

// service runs a shell script in a service of the user's manager; JAILRUN in it is
// jailrun's path. The manager would expand a variable itself.
func service(t *testing.T, text string, properties ...string) string {
	t.Helper()
	bin := t.TempDir()
	program.CopySelf(t, filepath.Join(bin, "jailrun"))
	args := []string{"--user", "--wait", "--pipe", "--quiet", "--setenv=GORACE=" + raceOptions}
	text = strings.ReplaceAll(text, "JAILRUN", filepath.Join(bin, "jailrun"))
	for _, p := range properties {
		args = append(args, "-p", p)
	}
	out, _ := exec.CommandContext(t.Context(), "systemd-run", append(args, "sh", "-c", text)...).CombinedOutput()
	t.Logf("%s", out)
	return string(out)
}

// A service of 30 MB has jobs of 30 MB, also where jailrun can make no group
// below its own because somebody else is in there: a scope of the manager's
// would lie beside it.
func TestJobsDoNotShedTheLimitsOfAService(t *testing.T) {
	lane.Require(t, "userbus", "userns", "proc")
	const beside = `sleep 60 & `
	for name, script := range map[string]string{
		"below its own group": `JAILRUN -v --mem 100m -- ` + hungry,
		"with a neighbour":    beside + `JAILRUN -v --mem 100m -- ` + hungry + `; kill %1`,
	} {
		t.Run(name, func(t *testing.T) {
			out := service(t, script, "MemoryMax=30M", "MemorySwapMax=0", "OOMPolicy=continue")
			assert.NotContains(t, out, "survived\n")
			assert.Contains(t, out, "jailrun: killed: ", "not a limit of the job's own")
			out = service(t, script)
			assert.Contains(t, out, "survived\n", "the control")
		})
	}
}

// From a login, whose group belongs to root, the kernel holds the limits
// through a scope, which leaves nothing behind.
func TestManagerMakesAScope(t *testing.T) {
	lane.Require(t, "userbus", "userns", "proc")
	if lane.Has("cgroup2").Yes {
		t.Skip("this process has a delegated group and needs no scope")
	}
	bin := t.TempDir()
	program.CopySelf(t, filepath.Join(bin, "jailrun"))
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "jailrun"), args...)
		cmd.Dir = "/"
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	assert.Contains(t, run("-v", "--mem", "64m", "--require", "cgroup", "--", "true"), "tier cgroup")
	assert.Contains(t, run("-v", "--", "true"), "tier watchdog", "nothing was asked that is worth a scope")
	left, err := exec.CommandContext(t.Context(), "systemctl", "--user", "list-units", "--all", "--no-legend", "jailrun-*").Output()
	require.NoError(t, err)
	assert.NotContains(t, string(left), "failed")
}
