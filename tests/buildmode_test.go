package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBuildModes: jailrun works however somebody builds it. Init is a copy of
// its process without a Go runtime: a dynamic loader and counters between the
// lines have each broken it, the first at one launch in two.
func TestBuildModes(t *testing.T) {
	if os.Getenv("JAILRUN_TEST_ALL") == "" {
		t.Skip("JAILRUN_TEST_ALL=1 builds jailrun in other ways, which compiles Go's library anew")
	}
	dir, err := os.MkdirTemp("", "jailrun-buildmode-") //nolint:usetesting // another user has to get there
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o755))
	for name, c := range map[string]struct {
		cgo   string
		flags []string
	}{
		"position-independent":                     {"0", []string{"-buildmode=pie"}},
		"position-independent, with cgo":           {"1", []string{"-buildmode=pie"}},
		"position-independent, with the C library": {"1", []string{"-buildmode=pie", "-ldflags=-linkmode=external"}},
		"with the C library":                       {"1", []string{"-ldflags=-linkmode=external"}},
		"counting coverage":                        {"0", []string{"-cover"}},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(dir, "jailrun")
			build := exec.Command("go", append(append([]string{"build"}, c.flags...), "-o", program, "../cmd/jailrun")...)
			build.Env = append(os.Environ(), "CGO_ENABLED="+c.cgo)
			out, err := build.CombinedOutput()
			require.NoError(t, err, string(out))
			for range 20 {
				// The second run is launched by another process than the first.
				run := exec.Command(program, "-q", "--cwd", "none", "--repeat", "2", "--", "/bin/echo", "hi")
				run.Dir = "/"
				run.Env = []string{"GOCOVERDIR=" + dir}
				if os.Geteuid() == 0 {
					run.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64123, Gid: 64123}}
				}
				text, err := run.Output()
				require.NoError(t, err)
				require.Equal(t, "hi\nhi\n", string(text))
			}
		})
	}
}
