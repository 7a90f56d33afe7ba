package vm

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const dirPrefix = "jailrun-vm-"

// makeDir makes a machine's directory. The descriptor holds a lock on it, which says that it is in use; it ends with
// the process at the latest.
func makeDir() (dir string, inUse *os.File, err error) {
	sweepDirs()
	if dir, err = os.MkdirTemp("", dirPrefix); err != nil {
		return "", nil, err
	}
	if inUse, err = os.Open(dir); err != nil {
		return "", nil, err
	}
	return dir, inUse, os.NewSyscallError("flock", unix.Flock(int(inUse.Fd()), unix.LOCK_EX))
}

// sweepDirs removes the directories of machines whose process was killed before it could. What cannot be removed,
// another user's for one, stays. A directory may be a moment old and not locked yet.
func sweepDirs() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		f.Close()
	}
}
