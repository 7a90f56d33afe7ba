// Package program writes programs that a test then runs.
package program

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Write writes a program that can be run at once. A child that another test
// forks meanwhile would hold the file open for writing up to its execve, and
// nobody can run such a file (ETXTBSY).
func Write(t testing.TB, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, content, 0o755)
	syscall.ForkLock.RUnlock()
	require.NoError(t, err)
}

// CopySelf copies this binary. It is read by its link in /proc: the go tool
// builds below a directory that only root may enter.
func CopySelf(t testing.TB, to string) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	Write(t, to, self)
}
