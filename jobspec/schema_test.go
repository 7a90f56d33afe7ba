package jobspec

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

// TestSchema holds the published schema to the types.
func TestSchema(t *testing.T) {
	t.Parallel()
	got, err := Schema()
	require.NoError(t, err)
	require.True(t, json.Valid(got))
	const golden = "jobs.schema.json"
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "go test ./jobspec -run TestSchema -update")
}
