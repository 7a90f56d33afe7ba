// Package attacks runs a hostile suite against jailrun: for every row of the
// security bar what a job may try, under every profile and identity, with the
// control that shows what would have happened, and with a picture of the host
// before and after (package hostdiff). rows_test.go says which test answers
// for which row.
package attacks

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/cmd/jailrun-selftest/attack"
	"github.com/jailrun/jailrun/tests/hostdiff"
	"github.com/jailrun/jailrun/tests/lane"
)

func TestMain(m *testing.M) { hostdiff.Main(m) }

var update = flag.Bool("update", false, "write the goldens")

// everything makes it the slow variant of a test.
var everything = os.Getenv("JAILRUN_TEST_ALL") != ""

// few makes it the small variant, for machines in which a program takes ten to
// twenty times as long to start: every attempt once, under the default profile,
// with its control; what repeats a thing repeats it less, and gets more time.
var few = lane.Name() != "host"

// profiles are those under which an attack must end as required. They differ in
// their filters, which do not differ by kernel.
func profiles() []string {
	if few {
		return []string{"default"}
	}
	return []string{"default", "judge", "strict"}
}

func needs(t *testing.T) {
	t.Helper()
	lane.Require(t, "userns", "proc")
}

// TestRefused makes every attempt of package attack: none works, but those
// that reach nothing but the job itself.
func TestRefused(t *testing.T) {
	needs(t)
	for _, profile := range profiles() {
		t.Run(profile, func(t *testing.T) {
			hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
				if profile == "strict" && id != hostdiff.Self && !everything {
					t.Skip("a hundred sandboxes, as each kill ends one; JAILRUN_TEST_ALL=1 makes them")
				}
				got := attempts(t, profile, id)
				for _, a := range attack.All() {
					if !slices.Contains(a.Allowed, profile) {
						assert.True(t, attack.Refused(got[a.Name]), "%s %s: %q", a.Row, a.Name, got[a.Name])
					}
				}
			})
		})
	}
}

// attempted has what became of the attempts, by profile and identity: they are
// made once for all tests that look at them.
var attempted = map[string]map[string]string{}

// attempts makes every attempt in a sandbox, or in several if the filter kills,
// and asserts that the host looks as before.
func attempts(t *testing.T, profile string, id hostdiff.Identity) map[string]string {
	t.Helper()
	key := profile + " " + string(id)
	if got := attempted[key]; got != nil {
		return got
	}
	here := hostdiff.Here
	before := here.Take(t)
	got, err := attack.Complete(func(first int) (string, bool, error) {
		run := here.Do(t, here.Jailrun(t.Context(), id, here.With([]string{"--seccomp", profile}, "/attack", "attacks", strconv.Itoa(first))...))
		require.Contains(t, []int{0, 159}, run.Code, run.Stderr)
		return run.Stdout, run.Code == 159, nil
	})
	require.NoError(t, err)
	here.AssertSame(t, before)
	require.Len(t, got, len(attack.All()))
	attempted[key] = got
	return got
}

// TestControls makes the attempts where they succeed: a refusal proves
// something only if the same program gets its way elsewhere.
func TestControls(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	for _, place := range []struct {
		name    string
		control attack.Control
		flags   uintptr
	}{
		{"outside", attack.Outside, 0},
		{"namespace", attack.Namespace, unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP},
	} {
		t.Run(place.name, func(t *testing.T) {
			out, err := here.Outside(t, hostdiff.Self, place.flags, "attacks", place.name)
			require.NoError(t, err, out)
			got := attack.Parse(out)
			worked, void := 0, []string{}
			for _, a := range attack.All() {
				if a.Control != place.control {
					continue
				}
				switch outcome := got[a.Name]; {
				case outcome == attack.Worked, named(outcome, a.Reached):
					worked++
				case named(outcome, a.Absent), outcome == attack.Nothing:
					void = append(void, a.Name+" ("+outcome+")")
				default:
					t.Errorf("%s %s: %q is no control", a.Row, a.Name, outcome)
				}
			}
			t.Logf("%d controls; %d void on this host: %s", worked, len(void), strings.Join(void, ", "))
			assert.Greater(t, worked, 40)
		})
	}
	for _, a := range attack.All() {
		assert.Equal(t, a.Control == attack.None, a.Why != "", "%s: a control, or why there is none", a.Name)
	}
}

func named(outcome string, list []unix.Errno) bool {
	return slices.ContainsFunc(list, func(e unix.Errno) bool { return unix.ErrnoName(e) == outcome })
}

// TestWithoutFilter takes the filter away: what other walls refuse as well
// still does not work.
func TestWithoutFilter(t *testing.T) {
	needs(t)
	if few && !lane.Has("landlock").Yes {
		t.Skip("this kernel's other walls are those of the host, where they are attacked alone")
	}
	hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		// No picture of the host: without the filter some of it does leave keys.
		here := hostdiff.Here
		run := here.Do(t, here.Jailrun(t.Context(), id, here.With([]string{"--seccomp", "none", "--unsafe", "seccomp-none"}, "/attack", "attacks")...))
		require.Equal(t, 0, run.Code, run.Stderr)
		got := attack.Parse(run.Stdout)
		twice, alone := 0, 0
		for _, a := range attack.All() {
			switch {
			case a.Twice:
				twice++
				assert.True(t, attack.Refused(got[a.Name]), "%s %s: %q", a.Row, a.Name, got[a.Name])
			case got[a.Name] == attack.Worked:
				alone++
			}
		}
		t.Logf("%d attempts meet a second wall; %d work without the filter", twice, alone)
		assert.NotZero(t, alone, "the control: the filter was the only wall for some")
	})
}

// TestPosture compares how a job is confined with what stands in testdata.
func TestPosture(t *testing.T) {
	needs(t)
	if lane.Name() != "host" {
		t.Skip("the goldens are of this machine's kernel; TestRefused runs everywhere")
	}
	for _, profile := range profiles() {
		t.Run(profile, func(t *testing.T) {
			hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
				run := hostdiff.Here.Run(t, id, []string{"--seccomp", profile}, "/attack", "posture")
				require.Equal(t, 0, run.Code, run.Stderr)
				own := hostNamespaces(t)
				var lines []string
				for line := range strings.Lines(run.Stdout) {
					if ns, ok := strings.CutPrefix(strings.TrimSpace(line), "host: namespace "); ok {
						name, link, _ := strings.Cut(ns, " ")
						assert.NotEqual(t, own[name], link, "its own namespace")
						continue
					}
					lines = append(lines, line)
				}
				golden(t, "posture-"+profile+"-"+string(id), strings.Join(lines, ""))
			})
		})
	}
}

func hostNamespaces(t *testing.T) map[string]string {
	t.Helper()
	own := map[string]string{}
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		to, err := os.Readlink("/proc/self/ns/" + name)
		require.NoError(t, err)
		own[name] = to
	}
	return own
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "%s; -update writes it", path)
}
