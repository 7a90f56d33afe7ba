package bench

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"
)

func TestMain(m *testing.M) { rootless.Main(m) }

// TestFloorMakesTheSameSandbox runs one job under the library and under the C
// program made of its plan: what the job sees of itself is the same. A step
// that the translation lost would show as a mount, a limit or a wall less.
func TestFloorMakesTheSameSandbox(t *testing.T) {
	lane.Require(t, "unprivileged", "userns", "proc")
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	const script = `
		cut -d' ' -f4- /proc/self/mountinfo
		grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Sig|NStgid|NSpid)' /proc/self/status
		cat /proc/self/limits /proc/self/oom_score_adj /proc/sys/user/max_*_namespaces
		cat /etc/passwd /etc/hosts; hostname; env; ls -l / /dev /proc/self/fd; cat /proc/1/comm`
	c := sandbox.Command("sh", "-c", script)
	c.Stdin, c.Dir = strings.NewReader(""), t.TempDir()
	plan, err := c.Plan()
	require.NoError(t, err)
	floor, err := buildFloor(t.Context(), plan.Program, t.TempDir())
	require.NoError(t, err)
	var want, said bytes.Buffer
	c.Stdout, c.Stderr = &want, &said
	r, err := c.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, sandbox.Exited, r.Verdict)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, floor)
	cmd.Dir = c.Dir
	got, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, stable(want.String()), stable(string(got)))
	for _, fact := range []string{"jailrun-init", "NoNewPrivs:\t1", "Seccomp:\t2", "overlay"} {
		assert.Contains(t, want.String(), fact, "the job sees what is compared")
	}
}

// stable leaves out what differs between two runs of the same job: numbers of
// devices, inodes, times and pipes.
func stable(text string) string {
	var lines []string
	for l := range strings.Lines(text) {
		fields := strings.Fields(l)
		switch {
		case strings.Contains(l, "-> pipe:["), strings.Contains(l, "-> /proc/"):
			l = fields[len(fields)-2]
		case len(fields) == 9 && strings.Contains(fields[7], ":"): // ls -l with a time of day
			l = fields[0] + " " + fields[8]
		case len(fields) == 11 && strings.Contains(fields[7], ":"):
			l = strings.Join(append(fields[:1], fields[8:]...), " ")
		}
		lines = append(lines, strings.TrimSpace(l))
	}
	return strings.Join(lines, "\n")
}

func TestFloorSaysWhichStepFailed(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	p := &prog.Program{}
	p.AddInit(prog.StageRoot, prog.Chdir("/"), prog.Chdir("/no/such\"dir?\\"))
	floor, err := buildFloor(t.Context(), p, t.TempDir())
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), floor).CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 125, exit.ExitCode())
	assert.Equal(t, "floor: step 1: No such file or directory\n", string(out))
}

func TestParseShape(t *testing.T) {
	t.Parallel()
	const seen = `29 28 0:30 / / rw,nosuid,nodev - tmpfs tmpfs rw,size=524288k
31 29 254:0 /usr /usr ro,nosuid,nodev - ext4 /dev/vda rw
40 29 0:31 / /work rw,nosuid - overlay overlay rw,lowerdir=.
41 29 0:30 /dev /dev ro - tmpfs tmpfs rw
42 41 0:6 /null /dev/null rw - devtmpfs devtmpfs rw
43 29 0:32 / /proc ro - proc proc rw
44 43 0:30 /proc/empty /proc/bus ro - tmpfs tmpfs rw
45 43 0:6 /null /proc/keys rw - devtmpfs devtmpfs rw
link bin usr/bin
`
	got, err := parseShape(seen, "/here", "/empty")
	require.NoError(t, err)
	assert.Equal(t, &shape{
		binds: []string{"/usr"}, links: [][2]string{{"bin", "usr/bin"}}, work: "/here", empty: "/empty",
		masks: []mask{{"/proc/bus", false}, {"/proc/keys", true}},
	}, got)
	before := []string{"bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--ro-bind", "/here", "/work", "--proc", "/proc"}
	masks := []string{"--ro-bind", "/empty", "/proc/bus", "--ro-bind", "/dev/null", "/proc/keys"}
	after := []string{
		"--symlink", "usr/bin", "/bin", "--dev", "/dev", "--dir", "/tmp", "--dir", "/home/job", "--dir", "/var/tmp",
		"--chdir", "/work", "--", "/bin/true",
	}
	assert.Equal(t, slices.Concat(before, masks, after), got.bwrap(true))
	assert.Equal(t, slices.Concat(before, after), got.bwrap(false))
	for _, bad := range []string{"", "no mountinfo\n", strings.ReplaceAll(seen, "/work", "/elsewhere")} {
		_, err = parseShape(bad, "/here", "/empty")
		assert.Error(t, err, "another sandbox is not compared as if it were this one")
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	jailrun, bwrap := contender{Name: nameJailrun, Isolates: []string{"a", "b"}}, contender{Name: nameBwrap, Lacks: []string{"<b>"}, Isolates: []string{"a"}}
	for i := range 100 {
		jailrun.wall, jailrun.cpu = append(jailrun.wall, time.Duration(100-i)*time.Microsecond), append(jailrun.cpu, time.Microsecond)
		bwrap.wall, bwrap.cpu = append(bwrap.wall, time.Duration(200-2*i)*time.Microsecond), append(bwrap.cpu, time.Microsecond)
	}
	r := Report{
		Rounds: 100, Contenders: []Sum{jailrun.sum(), bwrap.sum()}, Missing: []Missing{{"runc", "not installed"}},
		Stages: []sandbox.StageTime{{Process: "runner", Stage: "clone", Took: time.Millisecond}, {Process: "init", Stage: "root", Start: time.Millisecond, Took: time.Millisecond}},
	}
	r.compare()
	assert.Equal(t, 50*time.Microsecond, r.Contenders[0].P50)
	assert.Equal(t, 95*time.Microsecond, r.Contenders[0].P95)
	assert.Equal(t, 99*time.Microsecond, r.Contenders[0].P99)
	assert.InDelta(t, 0.5, r.Contenders[1].Ratio, 0.01)
	assert.Equal(t, []Goal{{nameJailrun, nameBwrap, 0.5, 1.0}}, r.Goals)
	var text, page bytes.Buffer
	require.NoError(t, r.Print(&text))
	for _, want := range []string{"| jailrun : bwrap | 0.50 | ≤ 1.00 |", "- bwrap: a. Not: <b>.", "- runc did not take part: not installed"} {
		assert.Contains(t, text.String(), want)
	}
	require.NoError(t, r.HTML(&page))
	for _, want := range []string{"<td>0.05 ms</td>", "&lt;b&gt;", "<title>root 1ms</title>", "not installed"} {
		assert.Contains(t, page.String(), want)
	}
	one := contender{wall: []time.Duration{7}, cpu: []time.Duration{1}}
	assert.Equal(t, time.Duration(7), one.sum().P99)
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	k, err := private(os.Getpid())
	require.NoError(t, err)
	assert.Greater(t, k, 100)
	assert.Less(t, k, 1<<20)
	_, err = findInit(os.Getpid())
	require.Error(t, err)
	name, ppid := parent(os.Getpid())
	assert.Equal(t, os.Getppid(), ppid)
	comm, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	assert.Equal(t, strings.TrimSpace(string(comm)), name)
}
