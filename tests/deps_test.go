// Package tests holds what is true of the project as a whole.
package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// module is the import path of everything of ours.
const module = "github.com/jailrun/jailrun/"

// TestHotBinary keeps jailrun lean. A package costs its initialisation at
// every start, and what it can do is there for whoever gets control of the
// runner: so jailrun has neither a package that makes connections nor one that
// needs a C library.
func TestHotBinary(t *testing.T) {
	t.Parallel()
	deps := imports(t, "./cmd/jailrun")
	require.Contains(t, deps, module+"sandbox", "the list is jailrun's")
	for _, bad := range []string{
		"runtime/cgo",
		"net", "net/http", "crypto/tls",
		"regexp", "text/template", "html/template", "log", "log/slog", "flag", "testing", "plugin", "go/ast",
	} {
		assert.NotContains(t, deps, bad)
	}
	for _, dep := range deps {
		if first, _, _ := strings.Cut(dep, "/"); !strings.Contains(first, ".") {
			continue // the standard library
		}
		if strings.HasPrefix(dep, module) || strings.HasPrefix(dep, "golang.org/x/sys/") {
			continue
		}
		t.Errorf("cmd/jailrun imports %s: only golang.org/x/sys may come from outside", dep)
	}
}

// TestNetworkSibling: every job with a network waits for the start of
// jailrun-net.
func TestNetworkSibling(t *testing.T) {
	t.Parallel()
	deps := imports(t, "./cmd/jailrun-net")
	require.Contains(t, deps, module+"netslirp", "the list is jailrun-net's")
	for _, bad := range []string{"net/http", "crypto/tls", "html/template", "flag", "testing"} {
		assert.NotContains(t, deps, bad)
	}
	assert.Contains(t, imports(t, "./cmd/jailrun-publish"), "net/http", "the control: rootlesskit's port drivers bring it")
}

// TestLibrary: what imports the library gets no more than jailrun does, but
// for what it asks for by name (sandbox/hclogtrace).
func TestLibrary(t *testing.T) {
	t.Parallel()
	assert.Subset(t, imports(t, "./cmd/jailrun"), imports(t, "./sandbox"))
}

// imports lists all packages that pkg is built of, without cgo, as jailrun is.
func imports(t *testing.T, pkg string) []string {
	t.Helper()
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command: this is the compiled test, in another machine")
	}
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), goCommand, "list", "-deps", pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}
