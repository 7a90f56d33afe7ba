// Package gate fails when the start of jailrun has become much slower.
package gate

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/bench"
	"github.com/jailrun/jailrun/tests/lane"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == bench.ChildArg {
		if err := bench.Child(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// most is far above what is measured, 1.5 to 1.8: the gate is for what nobody
// meant to add, not for a few per cent.
const most = 3.0

// TestStart compares whole processes of jailrun with the C program that makes
// the same calls, in turns: a busy machine slows both down. Only the best of
// three attempts has to hold.
func TestStart(t *testing.T) {
	lane.Require(t, "userns", "proc")
	for _, program := range []string{"go", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	jailrun := filepath.Join(t.TempDir(), "jailrun")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", jailrun, "../../cmd/jailrun")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	var seen []float64
	for range 3 {
		r, err := bench.Start(t.Context(), bench.Options{Jailrun: jailrun, Rounds: 60, Only: []string{"floor"}, Progress: os.Stderr})
		require.NoError(t, err)
		require.Empty(t, r.Missing, "the floor must make every call of the plan")
		require.Len(t, r.Contenders, 2)
		ratio := r.Contenders[1].Ratio
		var text, page bytes.Buffer
		require.NoError(t, r.Print(&text))
		require.NoError(t, r.HTML(&page))
		assert.NotEmpty(t, r.Stages)
		if ratio <= most {
			t.Logf("jailrun : floor %.2f, at most %.2f", ratio, most)
			return
		}
		seen = append(seen, ratio)
	}
	t.Errorf("jailrun : floor %.2f in three attempts, want at most %.2f; `jailrun bench start --html` shows where the time goes", seen, most)
}
