package main

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

func TestTranslate(t *testing.T) {
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
	before := []string{"--ro-bind", "/usr", "/usr", "--ro-bind", "/here", "/work", "--proc", "/proc"}
	masks := []string{"--ro-bind", "/empty", "/proc/bus", "--ro-bind", "/dev/null", "/proc/keys"}
	after := []string{"--symlink", "usr/bin", "/bin", "--dev", "/dev", "--dir", "/tmp", "--dir", "/home/job", "--dir", "/var/tmp"}
	got, err := translate(seen, "/here", "/empty", true)
	require.NoError(t, err)
	assert.Equal(t, slices.Concat(before, masks, after), got)
	got, err = translate(seen, "/here", "/empty", false)
	require.NoError(t, err)
	assert.Equal(t, slices.Concat(before, after), got)
	for _, bad := range []string{"", "no mountinfo\n", strings.ReplaceAll(seen, "/work", "/elsewhere")} {
		_, err = translate(bad, "/here", "/empty", true)
		assert.Error(t, err, "another sandbox is not compared as if it were this one")
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	c := contender{}
	for i := range 100 {
		c.took = append(c.took, time.Duration(100-i))
	}
	assert.Equal(t, time.Duration(50), c.percentile(50))
	assert.Equal(t, time.Duration(95), c.percentile(95))
	one := contender{took: []time.Duration{7}}
	assert.Equal(t, time.Duration(7), one.percentile(95))
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
