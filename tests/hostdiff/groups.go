package hostdiff

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
)

// unified is where the cgroup v2 hierarchy is mounted.
func unified() string {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/unified"); err == nil {
		return root + "/unified"
	}
	return root
}

// own is the group of this process, or the one above if jailrun has moved it
// into a leaf.
func own() (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	group := ""
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			group = strings.TrimSpace(path)
		}
	}
	if filepath.Base(group) == "jailrun-caller" {
		group = filepath.Dir(group)
	}
	return filepath.Join(unified(), group), nil
}

// top is the group below which our runners make theirs: in a machine of the
// lanes any, as a user manager makes them beside this process's; on a host
// those below this process's own.
func top() (string, error) {
	if lane.Name() != "host" {
		return unified(), nil
	}
	return own()
}

// groups notes the control groups that our runners made: they bear the
// runner's pid.
func (p Picture) groups(t testing.TB, a *Arena) {
	above, err := top()
	if err != nil {
		t.Fatal(err)
	}
	_ = filepath.WalkDir(above, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // a group that has gone meanwhile
		}
		if lane.Name() == "host" && strings.Count(strings.TrimPrefix(path, above), "/") > 3 {
			return fs.SkipDir
		}
		if f := strings.Split(d.Name(), "-"); len(f) >= 5 && f[0] == "run" && a.ours(f[1]) && !a.older[path] {
			p["group "+path] = ""
		}
		return nil
	})
}

// olderGroups are what crashed runs of others have left: their pids may be those
// of ours by now.
func olderGroups() map[string]bool {
	older := map[string]bool{}
	if above, err := top(); err == nil {
		left, _ := filepath.Glob(filepath.Join(above, "run-*"))
		for _, path := range left {
			older[path] = true
		}
	}
	return older
}

// ours reports whether a runner of this pid is, or was, one that the tests of
// this process ran. Others on this machine run jailrun, too.
func (a *Arena) ours(text string) bool {
	pid, err := strconv.Atoi(text)
	_, known := a.runners.Load(pid)
	return err == nil && known
}

// Ran tells the arena the pid of a runner that a test started by other means
// than [Arena.Do]: the groups that it leaves are looked for.
func (a *Arena) Ran(pid int) { a.runners.Store(pid, true) }

// Dying counts the groups that have been removed and that memory still keeps:
// pages which nobody has, or a mount that nobody sees. ok is false where there
// are none to be counted: without a hierarchy of its own, on a host whose root
// group all share.
func Dying() (n int, ok bool) {
	above, err := top()
	if err != nil || lane.Name() == "host" && above == unified() {
		return 0, false
	}
	text, err := os.ReadFile(filepath.Join(above, "cgroup.stat"))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "nr_dying_descendants %d", &n); err == nil {
			return n, true
		}
	}
	return 0, false
}

// Dead is how long groups may take to die: the kernel flushes their statistics
// at its leisure, after a kill for memory for some seconds. That is too long to
// wait after each attack, so they are compared when all have been made.
const Dead = 30 * time.Second

// buried waits until no more groups are dying than before, or says how many.
// What a job was the first to read lies in the page cache on its group's
// account until someone wants the memory: the kernel is asked to take it back.
// Files of a tmpfs and memory that somebody has stay.
func buried(before int) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(Dead); ; <-tick.C {
		after, ok := Dying()
		switch {
		case !ok || after <= before:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("control groups of the tests are still dying: %d, before them %d", after, before)
		}
		if group, err := own(); err == nil {
			// It fails with EAGAIN, having taken what there was, for which package os
			// would wait; before Linux 5.19 there is no such file.
			if fd, err := unix.Open(filepath.Join(group, "memory.reclaim"), unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
				_, _ = unix.Write(fd, []byte("1G"))
				_ = unix.Close(fd)
			}
		}
	}
}
