package sandbox_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
)

// TestHostileTree: however many, deep or closed the files are that a job leaves,
// collecting them ends, in little memory, and says what it left out.
func TestHostileTree(t *testing.T) {
	const script = `mkdir -p out/many out/deep out/closed; cd out
		perl -e 'for (1..5000) { open F, ">many/$_" or die }
			for (1..300) { mkdir "closed/$_"; open F, ">closed/$_/f"; chmod 0, "closed/$_/f", "closed/$_" } chmod 0, "closed";
			chdir "deep"; for (1..5000) { mkdir "d" or die; chdir "d" or die }'`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	to, c, err := collect(t, script, sandbox.Home+"/out", nil)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	assert.Equal(t, 5300, c.Files)
	assert.Equal(t, 1, c.Skipped)
	require.Len(t, c.Why, 1)
	assert.Contains(t, c.Why[0], "nested too deep")
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<20))
	assert.FileExists(t, filepath.Join(to, "closed/300/f"))
}
