package problem

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
	"github.com/jailrun/jailrun/jobspec/schedule"
	"github.com/jailrun/jailrun/tests/rootless"
)

func TestMain(m *testing.M) { rootless.Main(m) }

// TestPackages judges problem packages, every submission of which must get
// what its directory says.
func TestPackages(t *testing.T) {
	for _, tool := range []string{"gcc", "/usr/bin/python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("the packages need " + tool)
		}
	}
	budget, err := schedule.Machine(os.DirFS("/"))
	require.NoError(t, err)
	for _, name := range []string{"sum", "guess", "custom"} {
		dir := os.DirFS(filepath.Join("../testdata/packages", name))
		p, err := Read(dir)
		require.NoError(t, err)
		text, err := p.Generate(false)
		require.NoError(t, err)
		load := jobspec.Options{FS: jobspec.Overlay{FS: dir, More: map[string][]byte{FileName: text}}}
		b, err := jobspec.Load(FileName, load)
		require.NoError(t, err)
		s, err := batch.Run(t.Context(), batch.Options{Batch: b, Load: load, Budget: budget, State: filepath.Join(t.TempDir(), "state")})
		require.NoError(t, err)
		for _, x := range p.Judge(b, s.Outcomes) {
			assert.True(t, x.AsWanted, "%s: %s %s: %s", name, x.Name, x.Code, x.Message)
		}
	}
}
