package sandbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/tests/lane"
)

func TestStageTimes(t *testing.T) {
	t.Parallel()
	marks := []prog.Mark{
		{Stage: prog.StageIdentity, At: 130},
		{Stage: prog.StageRoot, At: 140},
		{Stage: prog.StageScrub, At: 170},
		{InJob: true, Stage: prog.StageLimits, At: 180},
		{InJob: true, Stage: prog.StageExec, At: 190},
	}
	assert.Equal(t, []StageTime{
		{"runner", "prepare", 0, 10},
		{"runner", "clone", 10, 20},
		{"init", "identity", 30, 10},
		{"init", "root", 40, 30},
		{"init", "scrub", 70, 130},
		{"job", "limits", 80, 10},
		{"job", "exec", 90, 160},
	}, stageTimes(marks, 100, 110, 300, 350))
	assert.Empty(t, stageTimes(nil, 1, 2, 3, 4))
}

// TestTraceStartup: the stretches of a real launch follow each other without a
// gap, and end when the job runs.
func TestTraceStartup(t *testing.T) {
	lane.Require(t, "userns", "proc")
	c := Command("/bin/true")
	c.TraceStartup, c.CWD = true, CWDNone
	r, err := c.Run(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, r.Startup.Stages)
	end := map[string]time.Duration{}
	seen := map[string]bool{}
	for _, s := range r.Startup.Stages {
		if last, ok := end[s.Process]; ok {
			assert.Equal(t, last, s.Start, "%s %s", s.Process, s.Stage)
		}
		end[s.Process] = s.Start + s.Took
		seen[s.Stage] = true
	}
	for _, stage := range []string{"prepare", "clone", "identity", "root", "dev", "proc", "net", "fork", "scrub", "limits", "confine", "exec"} {
		assert.True(t, seen[stage], stage)
	}
	assert.Equal(t, r.Setup, end["init"])
	assert.Equal(t, r.Setup+r.Startup.Exec, end["job"])
	assert.Positive(t, r.Startup.Teardown)
	c = Command("/bin/true")
	c.CWD = CWDNone
	r, err = c.Run(t.Context())
	require.NoError(t, err)
	assert.Empty(t, r.Startup.Stages, "they were not asked for")
}
