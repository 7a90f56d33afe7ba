package sandbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
)

func TestSumUp(t *testing.T) {
	assert.Nil(t, SumUp(nil))
	run := func(wall, cpu time.Duration, peak int64) *Result {
		return &Result{Wall: wall, CPU: &CPUUsage{Total: cpu}, Memory: &MemoryUsage{Peak: &peak}}
	}
	rep := SumUp([]*Result{run(10, 5, 100), run(30, 7, 100), run(20, 6, 400)})
	assert.Equal(t, &RepeatReport{
		Runs: 3, Wall: &Spread{20, 10, 10}, CPU: &Spread{6, 1, 5}, Memory: &Spread{100, 0, 100},
	}, rep)
	rep = SumUp([]*Result{run(10, 5, 100), run(21, 7, 200)})
	assert.Equal(t, &Spread{15, 5, 10}, rep.Wall, "of an even number the mean of the middle two")

	rss := int64(7)
	unknown := &Result{Wall: 5}
	rep = SumUp([]*Result{run(10, 5, 100), unknown})
	assert.Nil(t, rep.CPU, "a run that cannot tell")
	assert.Nil(t, rep.Memory)
	unknown.Memory = &MemoryUsage{MaxRSS: &rss}
	assert.Equal(t, &Spread{7, 0, 7}, SumUp([]*Result{unknown}).Memory)
	assert.Nil(t, SumUp([]*Result{{}}).Wall, "a run that never began")
}

func TestNoise(t *testing.T) {
	const wall = time.Second
	at := func(steal, cpu time.Duration) hostNoise { return hostNoise{known(steal), known(cpu)} }
	switches := func(n int64) *int64 { return &n }
	busy := limits.Usage{}
	busy.Pressure.CPU = known(limits.Pressure{Some: 300 * time.Millisecond})
	calm := limits.Usage{}
	calm.Pressure.CPU = known(limits.Pressure{Some: time.Millisecond})
	throttled := limits.Usage{CPU: limits.CPUUsage{Throttled: known(800 * time.Millisecond)}}
	stalled := limits.Usage{}
	stalled.Pressure.IO = known(limits.Pressure{Some: 30 * time.Millisecond})
	for name, c := range map[string]struct {
		before, after hostNoise
		usage         limits.Usage
		involuntary   *int64
		confidence    string
		reason        string
	}{
		"nothing known":                    {hostNoise{}, hostNoise{}, limits.Usage{}, nil, Quiet, ""},
		"quiet":                            {at(5, 5), at(5, 6), calm, switches(9), Quiet, ""},
		"stolen":                           {at(0, 0), at(40*time.Millisecond, 0), calm, nil, Noisy, "stolen by the hypervisor for 40ms"},
		"the host is busy":                 {at(0, 0), at(0, 300*time.Millisecond), limits.Usage{}, nil, Noisy, "waited for a CPU for 300ms"},
		"the host is busy, the job is not": {at(0, 0), at(0, 300*time.Millisecond), calm, nil, Quiet, ""},
		"the job waits":                    {at(0, 0), at(0, 0), busy, nil, Noisy, "waited for a CPU for 300ms"},
		"throttled":                        {at(0, 0), at(0, 0), throttled, nil, Noisy, "throttled by its CPU limit for 800ms"},
		"a slow disk":                      {at(0, 0), at(0, 0), stalled, nil, Noisy, "stalled on I/O for 30ms"},
		"interrupted":                      {at(0, 0), at(0, 0), calm, switches(250), Noisy, "250 involuntary context switches"},
	} {
		t.Run(name, func(t *testing.T) {
			n := judgeNoise(c.before, c.after, &c.usage, c.involuntary, time.Second, wall)
			assert.Equal(t, c.confidence, n.Confidence)
			if c.reason == "" {
				assert.Empty(t, n.Reasons)
			} else {
				assert.Equal(t, []string{c.reason}, n.Reasons)
			}
		})
	}
}

func TestParseSteal(t *testing.T) {
	for text, want := range map[string]limits.Opt[time.Duration]{
		"cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 9 9\n": known(80 * time.Millisecond),
		"cpu  1 2 3\n":                         {},
		"":                                     {},
		"cpu0 1 2 3 4 5 6 7 8\n":               {},
	} {
		assert.Equal(t, want, parseSteal([]byte(text)), text)
	}
}

func TestFitRuntime(t *testing.T) {
	l := Limits{Memory: 128 * limits.MiB, CPU: 1500}
	for _, c := range []struct {
		asked   string
		program string
		env     []string
		limits  Limits
		want    *RuntimeReport
	}{
		{"", "java", nil, l, nil},
		{"none", "java", nil, l, nil},
		{"go", "./a", nil, l, &RuntimeReport{"go", []string{"GOMAXPROCS=2", "GOMEMLIMIT=117440512"}}},
		{"auto", "./a", nil, l, &RuntimeReport{"go", []string{"GOMAXPROCS=2", "GOMEMLIMIT=117440512"}}},
		{"auto", "/usr/bin/python3.11", nil, Limits{Memory: limits.MiB}, &RuntimeReport{"python", []string{"MALLOC_ARENA_MAX=1"}}},
		{"auto", "pythonista", nil, Limits{}, &RuntimeReport{Name: "go"}},
		{"jvm", "sh", []string{"JAVA_TOOL_OPTIONS=-Xmx1g"}, l, &RuntimeReport{"jvm", []string{"MALLOC_ARENA_MAX=1"}}},
		{"jvm", "sh", nil, Limits{CPU: 200}, &RuntimeReport{"jvm", []string{"JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=1", "MALLOC_ARENA_MAX=1"}}},
		{"jvm", "sh", nil, Limits{}, &RuntimeReport{Name: "jvm"}},
		{"node", "node", nil, Limits{Memory: 256 * limits.MiB}, &RuntimeReport{"node", []string{"NODE_OPTIONS=--max-old-space-size=192", "MALLOC_ARENA_MAX=1"}}},
		{"dotnet", "x", nil, Limits{Memory: 256 * limits.MiB}, &RuntimeReport{"dotnet", []string{
			"DOTNET_EnableDiagnostics=0", "DOTNET_gcServer=0", "DOTNET_GCHeapHardLimit=0x8000000", "MALLOC_ARENA_MAX=1",
		}}},
	} {
		s := &Spec{Args: []string{c.program}, Env: c.env, Runtime: c.asked}
		assert.Equal(t, c.want, s.fitRuntime(&c.limits), "%s for %s", c.asked, c.program)
	}
	require.Error(t, (&Spec{Args: []string{"x"}, Runtime: "cobol"}).check())
	require.Error(t, (&Spec{Args: []string{"x"}, Limits: Limits{CancelGrace: -1}}).check())
}
