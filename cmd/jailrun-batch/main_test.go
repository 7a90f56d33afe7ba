package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"

	"github.com/jailrun/jailrun/tests/script"

	"github.com/jailrun/jailrun/tests/program"
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
			"exits": script.Exits,
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
	program.CopySelf(t, own)
	for _, name := range commands[1:] {
		require.NoError(t, os.Link(own, filepath.Join(bin, "jailrun-"+name)))
	}
	return bin
}
