package prog_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestForkAdvice: what a fork leaves out is left out of that fork alone.
func TestForkAdvice(t *testing.T) {
	before := notForked(t)
	p := minimal("/bin/true")
	l := startBy(t, p.StartChild, p.SlotNamed("stdout"))
	status, _, r := l.end(t)
	assert.Empty(t, status)
	require.NotNil(t, r.Exit)
	assert.Equal(t, before, notForked(t))
}

// notForked counts the mappings that a fork does not copy, those of devices and
// of the kernel's own aside.
func notForked(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	seen := false
	for line := range strings.Lines(string(text)) {
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok {
			seen = true
			if f := strings.Fields(flags); slices.Contains(f, "dc") && !slices.Contains(f, "io") {
				n++
			}
		}
	}
	require.True(t, seen, "smaps tells the flags")
	return n
}
