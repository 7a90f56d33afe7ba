package prog

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The address space that a scrub looks at ends where the stack of the first
// thread ends: a page less would keep the environment, a page more may cut the
// vDSO, which the kernel refuses.
func TestImageEndsWithTheStack(t *testing.T) {
	img, err := findImage()
	require.NoError(t, err)
	maps, err := os.Open("/proc/self/maps")
	require.NoError(t, err)
	defer maps.Close()
	found := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if !strings.HasSuffix(lines.Text(), "[stack]") {
			continue
		}
		var lo, hi uintptr
		_, err := fmt.Sscanf(lines.Text(), "%x-%x", &lo, &hi)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("%#x", hi), fmt.Sprintf("%#x", img.top))
		found = true
	}
	assert.True(t, found)
}
