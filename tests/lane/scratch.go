package lane

import (
	"os"
	"testing"
)

// Scratch makes a directory on a file system with user xattrs, as an overlay's upper needs, and removes it after the
// test. t.TempDir lies on a tmpfs in the lanes, which has user xattrs only since Linux 6.6. Without such a file system
// the test is skipped like one that requires "overlay".
func Scratch(t testing.TB) string {
	t.Helper()
	dir, err := scratchDir()
	if err != nil {
		Require(t, "overlay")
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
