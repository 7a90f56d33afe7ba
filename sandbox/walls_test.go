package sandbox

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/tests/lane"
)

// runOn runs c as on a host that differs from this one, or of which less is
// made. It returns what the launch took.
func runOn(tb testing.TB, c *Cmd, change func(*facts, *build)) (*Result, time.Duration) {
	tb.Helper()
	r := &run{cmd: c, ctx: tb.Context(), began: limits.Now(), status: -1, ctl: -1, wake: -1, tier: TierWatchdog}
	c.run = r
	r.id = newID()
	var err error
	r.facts, err = survey(&c.Spec)
	require.NoError(tb, err)
	id, err := chooseIdentity(&c.Spec, r.facts, subordinate(r.facts.uid))
	require.NoError(tb, err)
	b := build{identity: id}
	change(r.facts, &b)
	r.plan, err = newPlan(&c.Spec, r.facts, b)
	require.NoError(tb, err)
	before := limits.Now()
	require.NoError(tb, r.attempt())
	res, err := c.Wait()
	require.NoError(tb, err)
	return res, r.execSeen - before
}

func findWall(t *testing.T, res *Result, name string) Wall {
	t.Helper()
	i := slices.IndexFunc(res.Confinement, func(w Wall) bool { return w.Name == name })
	require.GreaterOrEqual(t, i, 0, "%s in %v", name, res.Confinement)
	return res.Confinement[i]
}

// TestLandlock tells by the errno who refuses a device node: Landlock is asked
// before the capability is looked for.
func TestLandlock(t *testing.T) {
	lane.Require(t, "landlock")
	const script = `cd /tmp; mkdir a b; echo x >a/f; mv a/f b/f; ln b/f a/g; cat a/g; mknod w b 7 0 2>&1 || true`
	try := func(abi int) (*Result, string) {
		c := Command("sh", "-c", script)
		var out bytes.Buffer
		c.CWD, c.Stdout, c.Stderr = CWDNone, &out, &out
		res, _ := runOn(t, c, func(f *facts, _ *build) { f.landlock = min(abi, f.landlock) })
		return res, out.String()
	}
	res, out := try(0)
	assert.Equal(t, "x\nmknod: w: Operation not permitted\n", out, "the control")
	assert.True(t, findWall(t, res, "landlock").Missing)
	for _, abi := range []int{2, 99} {
		res, out = try(abi)
		assert.Equal(t, "x\nmknod: w: Permission denied\n", out, "ABI %d", abi)
		assert.False(t, findWall(t, res, "landlock").Missing)
	}
	assert.Equal(t, 0, *res.ExitCode)
}

// TestMissingWalls: a wall of which nobody can tell is an error, unless it is
// waived; one that the kernel never had is named.
func TestMissingWalls(t *testing.T) {
	refused := errMissing("refused by something else")
	for name, tt := range map[string]struct {
		facts func(*facts)
		spec  Spec
		fails string // names the wall
	}{
		"a kernel without Landlock":          {func(f *facts) { f.landlock = 0 }, Spec{}, ""},
		"Landlock that is too old":           {func(f *facts) { f.landlock = 1 }, Spec{}, ""},
		"Landlock is required":               {func(f *facts) { f.landlock = 0 }, Spec{Require: []string{WallLandlock}}, WallLandlock},
		"Landlock is required and there":     {func(*facts) {}, Spec{Require: []string{WallLandlock}}, ""},
		"an outer filter refuses Landlock":   {func(f *facts) { f.landlockErr = refused }, Spec{}, WallLandlock},
		"…, waived":                          {func(f *facts) { f.landlockErr = refused }, Spec{AllowMissing: []string{WallLandlock}}, ""},
		"an outer filter refuses keyrings":   {func(f *facts) { f.keysErr = refused }, Spec{}, WallKeyring},
		"…, and another wall is waived":      {func(f *facts) { f.keysErr = refused }, Spec{AllowMissing: []string{WallLandlock}}, WallKeyring},
		"…, waived as well":                  {func(f *facts) { f.keysErr = refused }, Spec{AllowMissing: []string{WallKeyring}}, ""},
		"a kernel that never had a keyring":  {func(f *facts) { f.keys = false }, Spec{}, ""},
		"a waiver of what is there is no-op": {func(*facts) {}, Spec{AllowMissing: []string{WallLandlock, WallKeyring}}, ""},
	} {
		f := aHost(1000)
		tt.facts(f)
		tt.spec.Args = []string{"true"}
		_, err := newPlan(&tt.spec, f, build{})
		if tt.fails == "" {
			assert.NoError(t, err, name)
			continue
		}
		var e *Error
		if assert.ErrorAs(t, err, &e, name) {
			assert.Equal(t, "confine", e.Stage, name)
			assert.Contains(t, e.Hint, "--allow-missing "+tt.fails, name)
		}
	}
}

// BenchmarkWalls says what each wall adds to a launch: the first decile of
// launches with and without it, taken in turn.
func BenchmarkWalls(b *testing.B) {
	rows := []struct {
		name    string
		seccomp string
		change  func(*facts, *build)
	}{
		{"all", "", func(*facts, *build) {}},
		{"no-names", "", func(_ *facts, b *build) { b.unnamed = true }},
		{"no-landlock", "", func(f *facts, _ *build) { f.landlock = 0 }},
		{"no-filter", "none", func(*facts, *build) {}},
	}
	took := make([][]time.Duration, len(rows))
	for range b.N {
		for i, row := range rows {
			c := Command("/bin/true")
			c.CWD, c.Seccomp, c.Unsafe = CWDNone, row.seccomp, []string{UnsafeNoSeccomp}
			_, launch := runOn(b, c, row.change)
			took[i] = append(took[i], launch)
		}
	}
	decile := func(i int) float64 {
		slices.Sort(took[i])
		return float64(took[i][len(took[i])/10]) / 1e3
	}
	all := decile(0)
	b.ReportMetric(all, "µs/launch")
	for i, row := range rows[1:] {
		b.ReportMetric(all-decile(i+1), "µs-more-than-"+row.name)
	}
}

// TestProcOfJudge: under the profiles for single programs /proc holds processes
// and nothing else.
func TestProcOfJudge(t *testing.T) {
	list := func(profile string) []string {
		c := Command("ls", "/proc")
		c.CWD, c.Seccomp = CWDNone, profile
		out, res, err := c.Output(t.Context())
		require.NoError(t, err)
		require.Equal(t, Exited, res.Verdict)
		return strings.Fields(string(out))
	}
	assert.Contains(t, list("default"), "meminfo", "the control")
	for _, profile := range []string{"judge", "strict"} {
		names := list(profile)
		names = slices.DeleteFunc(names, func(n string) bool { return n == "self" || n == "thread-self" || n[0] >= '0' && n[0] <= '9' })
		assert.Empty(t, names, profile)
	}
}
