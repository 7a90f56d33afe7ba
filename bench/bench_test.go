package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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

func TestBwrapArgs(t *testing.T) {
	t.Parallel()
	p := &prog.Program{}
	fd := p.Slot("empty")
	p.AddInit(prog.StageRoot,
		prog.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "MS_REC|MS_PRIVATE", ""),
		prog.Mount("/.old/usr", "/usr", "", unix.MS_BIND|unix.MS_REC, "MS_BIND|MS_REC", "").Because(`"quoted" (note)  # twice`),
		prog.Symlink("usr/bin", "/bin"),
		prog.Symlink("/proc/self/fd", "/dev/fd"),
		prog.Mount("/.old/dev/null", "/dev/null", "", unix.MS_BIND, "MS_BIND", ""),
		prog.Mount("overlay", "/work", "overlay", 0, "0", "lowerdir=."),
		prog.Mount("proc", "/proc", "proc", 0, "0", ""),
		prog.Call("move_mount", unix.SYS_MOVE_MOUNT, prog.Fd(fd), prog.Str(""), prog.At(), prog.Str("/proc/acpi"), prog.Int(4)),
		prog.Mount("/proc/acpi", "/proc/bus", "", unix.MS_BIND, "MS_BIND", ""),
		prog.Mount("/dev/null", "/proc/keys", "", unix.MS_BIND, "MS_BIND", ""),
	)
	tail := []string{"--dev", "/dev", "--dir", "/tmp", "--dir", "/home/job", "--dir", "/var/tmp"}
	want := []string{"--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--ro-bind", "/here", "/work", "--proc", "/proc"}
	got, err := bwrapArgs(p, "/here", "/empty", false)
	require.NoError(t, err)
	assert.Equal(t, append(want, tail...), got)
	want = append(want, "--ro-bind", "/empty", "/proc/acpi", "--ro-bind", "/empty", "/proc/bus", "--ro-bind", "/dev/null", "/proc/keys")
	got, err = bwrapArgs(p, "/here", "/empty", true)
	require.NoError(t, err)
	assert.Equal(t, append(want, tail...), got)
	_, err = bwrapArgs(&prog.Program{}, "/here", "/empty", true)
	assert.Error(t, err, "a plan in another form is not taken for one without mounts")
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
