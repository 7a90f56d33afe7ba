package sandbox_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"
)

func TestMain(m *testing.M) {
	playJob()
	rootless.Main(m)
}

// shell runs a script in a sandbox and returns what became of it.
func shell(t *testing.T, script string, change func(*sandbox.Cmd)) (*sandbox.Result, string, string) {
	t.Helper()
	c := sandbox.Command("sh", "-c", script)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	c.CWD = sandbox.CWDNone
	if change != nil {
		change(c)
	}
	res, err := c.Run(t.Context())
	require.NoError(t, err)
	return res, out.String(), errs.String()
}

func TestJobIsItself(t *testing.T) {
	require.NotZero(t, os.Geteuid(), "this is about an unprivileged caller")
	res, out, _ := shell(t, `id -u; hostname; echo $$; pwd; cat /proc/1/comm; cat /proc/1/cmdline | wc -c`, nil)
	assert.Equal(t, sandbox.Exited, res.Verdict)
	assert.Equal(t, "0\njail\n2\n/home/job\njailrun-init\n0\n", out)
	assert.Equal(t, 0, *res.ExitCode)
}

func TestHowItEnds(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		change       func(*sandbox.Cmd)
		verdict      sandbox.Verdict
		code, signal int
	}{
		{"exits", "exit 7", nil, sandbox.Exited, 7, 0},
		{"exits as a limit would", "exit 124", nil, sandbox.Exited, 124, 0},
		{"kills itself", "kill -9 $$", nil, sandbox.Signaled, -1, 9},
		{"aborts", "kill -ABRT $$", nil, sandbox.Signaled, -1, 6},
		{"sends itself SIGXCPU", "kill -XCPU $$", nil, sandbox.Signaled, -1, 24},
		{"sleeps past the wall limit", "sleep 60", func(c *sandbox.Cmd) { c.Limits.Wall = 100 * time.Millisecond }, sandbox.WallTime, -1, 9},
		{"ignores SIGTERM", "trap '' TERM; sleep 60", func(c *sandbox.Cmd) {
			c.Limits.Wall, c.Limits.Grace = 100*time.Millisecond, 100*time.Millisecond
		}, sandbox.WallTime, -1, 9},
		{"ends in its grace", "trap 'exit 3' TERM; sleep 60 & wait", func(c *sandbox.Cmd) {
			c.Limits.Wall, c.Limits.Grace = 100*time.Millisecond, 10*time.Second
		}, sandbox.WallTime, -1, 0},
		{"floods", "yes", func(c *sandbox.Cmd) { c.Limits.Output = 100 << 10 }, sandbox.OutputLimit, -1, 9},
		{"floods and may", "yes | head -c 1000000", func(c *sandbox.Cmd) {
			c.Limits.Output, c.Limits.TruncateOutput = 100<<10, true
		}, sandbox.Exited, 0, 0},
		{"stops itself", "kill -STOP $$", func(c *sandbox.Cmd) { c.Limits.Wall = 100 * time.Millisecond }, sandbox.WallTime, -1, 9},
		{"leaves a daemon that holds stdout", "setsid sleep 60 & exit 0", nil, sandbox.Exited, 0, 0},
		{"signals init", "kill -9 1; kill -TERM 1; kill -STOP 1; kill -9 -1; exit 5", nil, sandbox.Exited, 5, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res, out, _ := shell(t, tt.script, tt.change)
			assert.Equal(t, tt.verdict, res.Verdict, res.Cause)
			if tt.code >= 0 && assert.NotNil(t, res.ExitCode) {
				assert.Equal(t, tt.code, *res.ExitCode)
			}
			if tt.signal > 0 && assert.NotNil(t, res.Signal) {
				assert.Equal(t, tt.signal, *res.Signal)
			}
			if tt.name == "floods" || tt.name == "floods and may" {
				assert.Len(t, out, 100<<10)
				assert.True(t, res.Stdout.Truncated)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := sandbox.Command("sh", "-c", "echo ready; sleep 60")
	c.CWD = sandbox.CWDNone
	c.Stdout = writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	res, err := c.Run(ctx)
	require.NoError(t, err)
	assert.Equal(t, sandbox.Canceled, res.Verdict)

	res, err = sandbox.Command("true").Run(ctx)
	require.NoError(t, err, "canceled before the start")
	assert.Equal(t, sandbox.Canceled, res.Verdict)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestNotStarted(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), []byte("text\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "noloader"), []byte("#!/no/such/interpreter\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "junk"), []byte("\x7fELFjunk"), 0o755))
	for _, tt := range []struct {
		program string
		errno   unix.Errno
	}{
		{"no-such-program", unix.ENOENT},
		{"./missing", unix.ENOENT},
		{"./plain", unix.EACCES},
		{"./noloader", unix.ENOENT},
		{"./junk", unix.ENOEXEC},
		{"/tmp", unix.EACCES},
	} {
		c := sandbox.Command(tt.program)
		c.Dir = dir
		res, err := c.Run(t.Context())
		require.ErrorIs(t, err, tt.errno, tt.program)
		require.Equal(t, sandbox.NotStarted, res.Verdict, tt.program)
		require.NotNil(t, res.Error)
		assert.NotEmpty(t, res.Error.Hint, tt.program)
	}
}

func TestInputAndOutput(t *testing.T) {
	text := strings.Repeat("0123456789abcdef\n", 100_000)
	c := sandbox.Command("cat")
	c.CWD = sandbox.CWDNone
	c.Stdin = strings.NewReader(text)
	out, res, err := c.Output(t.Context())
	require.NoError(t, err)
	assert.Equal(t, sandbox.Exited, res.Verdict)
	assert.Equal(t, text, string(out))
	assert.EqualValues(t, len(text), res.Stdout.Bytes)

	// A job that never reads does not hold the runner up.
	c = sandbox.Command("true")
	c.CWD = sandbox.CWDNone
	c.Stdin = strings.NewReader(text)
	res, err = c.Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, sandbox.Exited, res.Verdict)

	// Neither does a file that has nothing to say.
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	c = sandbox.Command("true")
	c.CWD = sandbox.CWDNone
	c.Stdin = r
	_, err = c.Run(t.Context())
	require.NoError(t, err)
}

func TestNothingOfTheCallerComesAlong(t *testing.T) {
	t.Setenv("JAILRUN_TEST_SECRET", "secret")
	f, err := os.Open("/")
	require.NoError(t, err)
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFD, 0) // a descriptor leaked without close-on-exec
	require.NoError(t, err)
	_, out, errs := shell(t, `env | grep -i secret; ls /proc/self/fd; umask; cat /proc/self/status | grep -E '^(Cap|NoNewPrivs|Seccomp:|SigIgn|SigBlk)'; ls /root /home /run /srv 2>&1 | head -c 300`, nil)
	assert.NotContains(t, out, "secret")
	assert.Equal(t, `0
1
2
3
0022
SigBlk:	0000000000000000
SigIgn:	0000000000000000
CapInh:	0000000000000000
CapPrm:	0000000000000000
CapEff:	0000000000000000
CapBnd:	0000000000000000
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2
`, out[:strings.Index(out, "ls: ")], errs)
}

func TestCurrentDirectory(t *testing.T) {
	lane.Require(t, "tmpfs-upper")
	for _, tt := range []struct {
		mode            sandbox.CWD
		inside, outside string
	}{
		{sandbox.CWDCopy, "old\nnew\n", "old\n"},
		{sandbox.CWDReadOnly, "old\n", "old\n"},
		{sandbox.CWDWritable, "old\nnew\n", "old\nnew\n"},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "file")
		require.NoError(t, os.WriteFile(file, []byte("old\n"), 0o644))
		res, out, _ := shell(t, "echo new >> file; cat file; rm -f file; mkdir -p d/e", func(c *sandbox.Cmd) { c.Dir, c.CWD = dir, tt.mode })
		assert.Equal(t, sandbox.Exited, res.Verdict)
		assert.Equal(t, tt.inside, out)
		if tt.mode == sandbox.CWDWritable {
			assert.NoFileExists(t, file)
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, tt.outside, string(text))
	}
}
