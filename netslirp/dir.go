package netslirp

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dirPrefix begins the name of a private directory; the pid of its maker and a
// random number follow.
const dirPrefix = "jailrun-net-"

// privateDir makes a directory that only we may enter, for a socket or a FIFO.
// It is removed before the job runs. What others of this user were killed over
// is swept first.
func privateDir() (string, error) {
	base := os.Getenv("XDG_RUNTIME_DIR")
	if os.Geteuid() == 0 || base == "" {
		base = os.TempDir()
	}
	sweep(base)
	return os.MkdirTemp(base, dirPrefix+strconv.Itoa(os.Getpid())+"-")
}

// sweep removes the private directories of processes that are gone. In a /tmp
// that others write to it looks at the owner, not at the name alone; what cannot
// be removed is in nobody's way.
func sweep(base string) {
	found, _ := filepath.Glob(filepath.Join(base, dirPrefix+"*")) // the pattern is right
	for _, dir := range found {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(text)
		var st unix.Stat_t
		if err != nil || pid <= 0 || unix.Lstat(dir, &st) != nil || int(st.Uid) != os.Geteuid() || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}
