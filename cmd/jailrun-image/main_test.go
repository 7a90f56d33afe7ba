package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/tests/program"
	"github.com/jailrun/jailrun/tests/rootless"
	"github.com/jailrun/jailrun/tests/script"
)

// TestMain is jailrun-image itself when it is called by that name, as the scripts
// do; else it runs the tests, never as root.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "jailrun-") && !strings.HasSuffix(os.Args[0], ".test") {
		main()
	}
	rootless.Main(m)
}

// TestScripts assert stdout, stderr and silence of the commands, each with a
// store of its own.
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	require.NoError(t, os.Chmod(bin, 0o755))
	program.CopySelf(t, filepath.Join(bin, "jailrun-image"))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("JAILRUN_UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+":"+e.Getenv("PATH"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else a program ends a second later
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": script.Exits},
	})
}
