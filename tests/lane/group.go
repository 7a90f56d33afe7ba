package lane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ownGroup is the directory of this process's cgroup v2 group. It is empty if there is no cgroup v2.
func ownGroup() (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	path := ""
	for line := range strings.Lines(string(b)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path = p
		}
	}
	if path == "" {
		return "", nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if strings.HasPrefix(after, "cgroup2 ") && len(f) > 4 {
			rel, err := filepath.Rel(f[3], path)
			return filepath.Join(f[4], rel), err
		}
	}
	return "", nil
}

// probeGroup tries to make a group below this process's own, with these controllers.
func probeGroup(controllers ...string) func() Answer {
	return func() Answer {
		own, err := ownGroup()
		if err != nil || own == "" {
			return no("no cgroup v2 (%v)", err)
		}
		b, err := os.ReadFile(filepath.Join(own, "cgroup.controllers"))
		if err != nil {
			return verdict(err)
		}
		has := strings.Fields(string(b))
		for _, c := range controllers {
			if !slices.Contains(has, c) {
				return no("%s has the controllers %v, not %s", own, has, c)
			}
		}
		dir := filepath.Join(own, fmt.Sprintf("jailrun-probe-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return verdict(err)
		}
		return verdict(os.Remove(dir))
	}
}

func probeGroupKill() Answer {
	own, err := ownGroup()
	if err != nil || own == "" {
		return no("no cgroup v2 (%v)", err)
	}
	_, err = os.Stat(filepath.Join(own, "cgroup.kill"))
	return verdict(err)
}

// probeUserBus connects to the user's bus and to his systemd; both are sockets that only he may open.
func probeUserBus() Answer {
	runtimeDir := os.Getenv("XDG_RUNTIME_DIR")
	bus, ok := strings.CutPrefix(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), "unix:path=")
	if !ok {
		bus = filepath.Join(runtimeDir, "bus")
	}
	if runtimeDir == "" {
		return no("XDG_RUNTIME_DIR is not set")
	}
	for _, path := range []string{bus, filepath.Join(runtimeDir, "systemd/private")} {
		c, err := net.Dial("unix", path)
		if errors.Is(err, unix.ENOTSOCK) {
			return no("%v", err)
		}
		if err != nil {
			return verdict(err)
		}
		c.Close()
	}
	return yes()
}

func probeDelegation() Answer {
	own := Has("cgroup2")
	if own.Yes || own.Err != nil {
		return own
	}
	bus := Has("userbus")
	if bus.Yes || bus.Err != nil {
		return bus
	}
	return no("%s; and no manager to ask: %s", own.Why, bus.Why)
}
