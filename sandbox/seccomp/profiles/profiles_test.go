package profiles

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoad(t *testing.T) {
	names := Names()
	assert.Equal(t, []string{"default-nomemfd", "default", "init", "judge-nomemfd", "judge", "server", "strict-nomemfd", "strict"}, names)
	for _, name := range names {
		p, err := Load(name)
		require.NoError(t, err)
		assert.Equal(t, name, p.Name)
		for _, r := range p.Rules {
			assert.NotEmpty(t, r.Reason, "%s: %s", name, r.Name)
		}
	}
	for _, name := range []string{"", ".", "none", "Default"} {
		_, err := Load(name)
		require.ErrorIs(t, err, fs.ErrNotExist, "%q", name)
	}
	_, err := Load("../default")
	require.Error(t, err)
}

func TestNumbers(t *testing.T) {
	amd64, err := Numbers("amd64")
	require.NoError(t, err)
	arm64, err := Numbers("arm64")
	require.NoError(t, err)
	assert.EqualValues(t, 41, amd64["socket"])
	assert.EqualValues(t, 198, arm64["socket"])
	assert.EqualValues(t, 452, amd64["fchmodat2"])
	assert.EqualValues(t, 452, arm64["fchmodat2"])
	assert.Contains(t, amd64, "chmod")
	assert.NotContains(t, arm64, "chmod")
	_, err = Numbers("riscv64")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
