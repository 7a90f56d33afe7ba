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
	copySelf(t, filepath.Join(bin, "jailrun"))
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
			"exits": exits,
		},
	})
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
