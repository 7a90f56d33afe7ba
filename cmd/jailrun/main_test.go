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

// raceOptions keep a jailrun with the race detector from sleeping for a second
// when it ends.
const raceOptions = "atexit_sleep_ms=0"

// TestMain is jailrun itself when it is called by that name, as the scripts
// do; else it runs the tests, never as root.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "jailrun" {
		main()
	}
	for _, a := range os.Args {
		if strings.HasPrefix(a, "-test.fuzz=") {
			os.Exit(m.Run()) // pure functions, and the corpus may lie in root's cache
		}
	}
	rootless.Main(m)
}

// The scripts run this test binary as jailrun and assert stdout, stderr and
// silence: those of script without a job, those of run with jobs, those of cow
// with jobs that write to a copied current directory.
func TestScripts(t *testing.T) { runScripts(t, "script") }

func TestRuns(t *testing.T) {
	lane.Require(t, "unprivileged", "userns", "proc")
	runScripts(t, "run")
}

func TestCow(t *testing.T) {
	lane.Require(t, "unprivileged", "userns", "proc", "tmpfs-upper")
	runScripts(t, "cow")
}

func runScripts(t *testing.T, dir string) {
	t.Helper()
	require.NotZero(t, os.Geteuid(), "rootless behaviour is not tested as root")
	bin := t.TempDir()
	require.NoError(t, os.Chmod(bin, 0o755))
	program.CopySelf(t, filepath.Join(bin, "jailrun"))
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", dir),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("JAILRUN_UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+":"+e.Getenv("PATH"))
			e.Setenv("BIN", bin)
			e.Setenv("GORACE", raceOptions)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": script.Exits,
		},
	})
}
