package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"
)

// commands are the names under which this program is called.
var commands = [...]string{"batch", "judge", "spec", "replay"}

// TestMain is jailrun-batch itself when it is called by one of its names, as the
// scripts do; else it runs the tests, never as root.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "jailrun-") && !strings.HasSuffix(os.Args[0], ".test") {
		main()
	}
	rootless.Main(m)
}

// The scripts run this test binary as jailrun-batch and its other names and
// assert stdout, stderr and silence: those of script without a job, those of run
// with jobs.
func TestScripts(t *testing.T) { runScripts(t, "script") }

func TestRuns(t *testing.T) {
	lane.Require(t, "unprivileged", "userns", "proc")
	runScripts(t, "run")
}

func runScripts(t *testing.T, dir string) {
	t.Helper()
	bin := installed(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", dir),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("JAILRUN_UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+":"+e.Getenv("PATH"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home")) // with the state
			e.Setenv("GORACE", raceOptions)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
		},
	})
}

// raceOptions keep a program with the race detector from sleeping for a second
// when it ends.
const raceOptions = "atexit_sleep_ms=0"

// installed is a directory with this program under all its names.
func installed(t *testing.T) string {
	t.Helper()
	require.NotZero(t, os.Geteuid(), "rootless behaviour is not tested as root")
	bin := t.TempDir()
	require.NoError(t, os.Chmod(bin, 0o755))
	own := filepath.Join(bin, "jailrun-"+commands[0])
	copySelf(t, own)
	for _, name := range commands[1:] {
		require.NoError(t, os.Link(own, filepath.Join(bin, "jailrun-"+name)))
	}
	return bin
}

// exits CODE PROGRAM [ARG...] runs a program that has to end with that exit
// code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// copySelf copies this binary. It is opened by its link in /proc: the go tool
// builds below a directory that only root may enter.
func copySelf(t *testing.T, to string) {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	require.NoError(t, err)
	defer self.Close()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(f, self)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
