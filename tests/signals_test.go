package tests

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoSignalByNumber is A82: a number may be another process's by the time a
// signal is sent, so what runs jobs sends by descriptor, to a group, or to a
// child that it has not waited for.
func TestNoSignalByNumber(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("git", "-C", "..", "grep", "-nE", `(unix|syscall)\.(Kill|Tgkill)\(|SYS_(KILL|TGKILL|TKILL)\b`, "--",
		"*.go", ":!*_test.go", ":!tests", ":!bench", ":!cmd/jailrun-selftest").Output()
	require.NoError(t, err)
	// To itself; nothing at all; init, in a namespace whose dead only it buries.
	known := regexp.MustCompile(`Tgkill\(unix.Getpid\(\), |Kill\(pid, 0\)|^sandbox/prog/reap_unsafe.go:`)
	found := 0
	for line := range strings.Lines(string(out)) {
		if !known.MatchString(line) {
			t.Error(strings.TrimSpace(line))
		}
		found++
	}
	assert.NotZero(t, found, "the control: the pattern finds the known ones")
}
