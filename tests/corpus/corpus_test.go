// Package corpus holds labelled programs: each with the limits it runs under
// and the one verdict that is right, in both tiers. A judge's appeal ends here:
// when a verdict was wrong, the program that got it becomes a row.
package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"
)

// runsEnv is how often the whole corpus runs; unset is once.
const runsEnv = "JAILRUN_CORPUS_RUNS"

// programs is the directory that jobs see as /programs.
var programs string

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == goProgram {
		os.Exit(goPrograms(os.Args[1:]))
	}
	if os.Geteuid() != 0 {
		os.Exit(prepared(m.Run))
	}
	rootless.Main(m)
}

func prepared(run func() int) int {
	dir, err := os.MkdirTemp("", "corpus")
	if err == nil {
		defer os.RemoveAll(dir)
		programs = dir
		err = errors.Join(os.Chmod(dir, 0o755), copyProgram("/proc/self/exe", goProgram), compile())
	}
	if err == nil {
		err = evacuate()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		return 2
	}
	return run()
}

// evacuate moves this process where the kernel can hold limits, once and
// before any job, as jailrun's main does.
func evacuate() error {
	c := sandbox.Command("true")
	c.CWD, c.Evacuate, c.Limits.Memory, c.Limits.CPU = sandbox.CWDNone, true, limits.GiB, limits.OneCPU
	r, err := c.Run(background())
	if err == nil && r.Verdict != sandbox.Exited {
		err = errors.New(r.Cause)
	}
	return err
}

// compile compiles the C programs into one static binary.
func compile() error {
	// A lane has no compiler; there the binary lies beside the tests'.
	if beside, err := os.Executable(); err == nil {
		if err := copyProgram(filepath.Join(filepath.Dir(beside), cProgram), cProgram); err == nil {
			return nil
		}
	}
	sources, err := filepath.Glob("testdata/*.c")
	if err != nil {
		return err
	}
	args := append([]string{"-O1", "-Wall", "-Wno-return-type", "-Wno-infinite-recursion", "-static", "-pthread", "-o", filepath.Join(programs, cProgram)}, sources...)
	if out, err := exec.CommandContext(background(), "gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return nil
}

func copyProgram(from, name string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(programs, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// A row is one program with its label.
type row struct {
	name  string
	run   []string
	limit func(*sandbox.Limits)
	want  sandbox.Verdict
	code  int // exit code, with exited
	sig   int // of the main process, where it is certain

	// watchdog is the verdict in the watchdog tier, where that is another one:
	// the tier can refuse the means (exited), or not see the use.
	watchdog     sandbox.Verdict
	watchdogCode int
	// obeyed says that the program did after all what it was expected to
	// resist: want is then right in the watchdog tier, too.
	obeyed func(*sandbox.Result) bool
	blind  string // why the watchdog tier cannot tell; the row is left out there

	profile string // seccomp
	output  string // what the job must have said, somewhere
	check   func(*testing.T, *sandbox.Result)
}

// TestCorpus runs every program as often as asked, those of the first run in
// parallel with each other.
func TestCorpus(t *testing.T) {
	lane.Require(t, "unprivileged", "userns", "proc")
	rows := slices.Concat(deathRows, clockRows, memoryRows, floodRows, languageRows)
	assert.GreaterOrEqual(t, len(rows), 40)
	runs := 1
	if text := os.Getenv(runsEnv); text != "" {
		var err error
		runs, err = strconv.Atoi(text)
		require.NoError(t, err, runsEnv)
	}
	for i := range runs {
		t.Run("run "+strconv.Itoa(i+1), func(t *testing.T) {
			for _, r := range rows {
				if r.run[0] == "python3" && !has(t, r.run[0]) {
					continue
				}
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					r.judge(t)
				})
			}
		})
	}
}

func (r *row) judge(t *testing.T) {
	res, out := r.launch(t)
	want, code := r.want, r.code
	if res.Tier == sandbox.TierWatchdog {
		if r.blind != "" {
			t.Logf("the watchdog tier says %s; not judged: %s", res.Verdict, r.blind)
			return
		}
		if r.watchdog != "" && (r.obeyed == nil || !r.obeyed(res)) {
			want, code = r.watchdog, r.watchdogCode
		}
	}
	if !assert.Equal(t, want, res.Verdict, "%s tier: %s; output %q", res.Tier, res.Cause, out) {
		text, _ := json.Marshal(res)
		t.Logf("%s", text)
	}
	if want == sandbox.Exited && assert.NotNil(t, res.ExitCode) {
		assert.Equal(t, code, *res.ExitCode, "output %q", out)
	}
	if r.sig != 0 && assert.NotNil(t, res.Signal) {
		assert.Equal(t, r.sig, *res.Signal)
	}
	assert.Contains(t, out, r.output)
	if r.check != nil {
		r.check(t, res)
	}
}

func (r *row) launch(t *testing.T) (*sandbox.Result, string) {
	t.Helper()
	c := sandbox.Command(r.run[0], r.run[1:]...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.CWD, c.Seccomp = sandbox.CWDNone, r.profile
	c.Binds = []sandbox.Bind{{Source: programs, Target: "/programs"}}
	c.Limits.Output, c.Limits.TruncateOutput = 64*limits.KiB, true
	c.Limits.Wall = 2 * time.Minute // whatever goes wrong
	if r.limit != nil {
		r.limit(&c.Limits)
	}
	res, err := c.Run(t.Context())
	if r.want == sandbox.NotStarted {
		require.Error(t, err)
	} else {
		require.NoError(t, err)
	}
	return res, out.String()
}

// installed reports whether a job finds a program of the host.
func installed(name string) bool {
	for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil && !st.IsDir() {
			return true
		}
	}
	return false
}
