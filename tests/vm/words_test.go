package vm

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// words are what a newcomer types on a host that may not be as it should.
const words = `say() { printf '$ jailrun %s\n' "$*"; "$0" "$@" 2>&1; printf '[exit code %d]\n\n' $?; }
	say doctor
	say --cwd none -- echo hello
	say --cwd none --mem 64m --cpu 50% --pids 20 -- echo hello
	say --cwd none --require cgroup --mem 64m -- echo hello`

// What differs from run to run.
var varies = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?m)^jailrun \S+, Linux .*`), "jailrun VERSION, Linux KERNEL"},
	{regexp.MustCompile(`\d+(\.\d+)? m?s to start`), "TIME to start"},
	{regexp.MustCompile(`max_user_namespaces: \d+`), "max_user_namespaces: NUMBER"},
	{regexp.MustCompile(`jailrun-[0-9a-f-]+-scope`), "jailrun-ID-scope"},
	{regexp.MustCompile(`session-c?\d+\.scope`), "session-N.scope"},
}

// buildJailrun builds the program and what it starts into a directory that
// machines may show.
func buildJailrun(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(openTempDir(t), "bin")
	require.NoError(t, os.Mkdir(dir, 0o755)) // jailrun runs no program of a directory that others may write
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "github.com/jailrun/jailrun/cmd/jailrun", "github.com/jailrun/jailrun/cmd/jailrun-net")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(dir, "jailrun")
}

// assertWords compares what jailrun and its doctor say on a machine with a golden file of the lane: for each shape, what
// helps there stands in it.
func assertWords(t *testing.T, m *Machine, lane, shape, program string) {
	t.Helper()
	var out bytes.Buffer
	code, err := m.Run(t.Context(), Job{Argv: []string{"sh", "-c", words, program}, Stdout: &out, Stderr: &out})
	require.NoError(t, err)
	require.Zero(t, code, out.String())
	said := out.String()
	for _, v := range varies {
		said = v.pattern.ReplaceAllString(said, v.instead)
	}
	if shape == "" {
		shape = "plain"
	}
	path := filepath.Join("testdata", lane, shape+".golden")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(said), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), said)
}
