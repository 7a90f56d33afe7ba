package hostdiff

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A Picture is what a run could change of the host, as names with values.
type Picture map[string]string

// Take takes a picture.
func (a *Arena) Take(t testing.TB) Picture {
	t.Helper()
	p := Picture{}
	p.processes()
	p.networks()
	p.mounts(t)
	p.sockets()
	p.ipc(a)
	p.keys(a)
	p.groups(t, a)
	p.files(a)
	p.hashes(a)
	return p
}

// processes notes every live descendant of this process, and buries the dead
// that have become its children.
func (p Picture) processes() {
	parents, names := processTable()
	for pid := range parents {
		if descends(pid, parents) {
			p["process "+strconv.Itoa(pid)] = names[pid]
		}
	}
}

// networks notes the network namespaces that are held: by a descendant of this
// process, or by a descriptor of its own. One that a mount holds is among the
// mounts.
func (p Picture) networks() {
	parents, _ := processTable()
	for pid := range parents {
		if descends(pid, parents) {
			if ns, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net"); err == nil {
				p["network "+ns] = ""
			}
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, "net:[") {
			p["network "+to] = ""
		}
	}
}

func descends(pid int, parents map[int]int) bool {
	for range 64 {
		pid = parents[pid]
		if pid == os.Getpid() {
			return true
		}
		if pid <= 1 {
			return false
		}
	}
	return false
}

// processTable lists the parent and the name of every process that lives.
func processTable() (parents map[int]int, names map[int]string) {
	parents, names = map[int]int{}, map[int]string{}
	list, _ := os.ReadDir("/proc")
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		open, closed := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
		if err != nil || open < 0 || closed < 0 {
			continue
		}
		f := strings.Fields(string(text[closed+1:]))
		if f[0] == "Z" || f[0] == "X" {
			continue
		}
		parents[pid], _ = strconv.Atoi(f[1])
		names[pid] = string(text[open : closed+1])
	}
	return parents, names
}

// mounts notes those of this mount namespace; root has it for itself.
func (p Picture) mounts(t testing.TB) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(line, " ", 6)
		p["mount "+f[0]+" "+f[4]] = strings.TrimSpace(f[5])
	}
}

// sockets notes those of this network namespace that have a name or listen.
func (p Picture) sockets() {
	text, _ := os.ReadFile("/proc/net/unix")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 8 && f[0] != "Num" {
			p["socket "+f[7]] = ""
		}
	}
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "packet"} {
		text, _ := os.ReadFile("/proc/net/" + name)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[0] != "sl" && f[9] != "0" { // inode 0 is a connection that ages
				p["socket "+name+" "+f[1]] = f[3]
			}
		}
	}
}

// ipc notes the System V objects and message queues of this IPC namespace.
func (p Picture) ipc(a *Arena) {
	for _, kind := range []string{"shm", "sem", "msg"} {
		text, _ := os.ReadFile("/proc/sysvipc/" + kind)
		for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			if f := strings.Fields(line); i > 0 && len(f) > 2 {
				p[kind+" "+f[0]+" "+f[1]] = f[2]
			}
		}
	}
	list, _ := os.ReadDir(a.queues())
	for _, e := range list {
		p["mqueue "+e.Name()] = ""
	}
}

// keys notes how many keys the ordinary user is charged for.
func (p Picture) keys(a *Arena) {
	if !a.root {
		return // others of this user come and go
	}
	text, _ := os.ReadFile("/proc/key-users")
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[0] == strconv.Itoa(a.UID)+":" {
			p["keys of "+f[0]] = f[2]
		}
	}
}

// files notes what the ordinary user has in the places where programs leave
// things.
func (p Picture) files(a *Arena) {
	_ = filepath.WalkDir(a.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone meanwhile
		}
		if path == a.Bin {
			return fs.SkipDir
		}
		p.file(path)
		return nil
	})
	if !a.root {
		return
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run", "/run/user", "/home", "/var/lib/jailrun", "/root"} {
		list, _ := os.ReadDir(dir)
		for _, e := range list {
			path := filepath.Join(dir, e.Name())
			var st unix.Stat_t
			if unix.Lstat(path, &st) == nil && int(st.Uid) == a.UID && path != a.Home || dir == "/var/lib/jailrun" {
				p.file(path)
			}
		}
	}
}

func (p Picture) file(path string) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return
	}
	value := fmt.Sprintf("mode %o owner %d:%d links %d", st.Mode, st.Uid, st.Gid, st.Nlink)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		value += fmt.Sprintf(" size %d changed %d.%09d", st.Size, st.Ctim.Sec, st.Ctim.Nsec)
	}
	p["file "+path] = value
}

// hashes notes what jobs share with the host: its programs, and ours.
func (p Picture) hashes(a *Arena) {
	paths := []string{"/usr/bin/env", "/bin/sh", "/etc/passwd", "/etc/ld.so.cache"}
	ours, _ := filepath.Glob(a.Bin + "/*")
	for _, path := range append(paths, ours...) {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		sum := sha256.Sum256(text)
		p["content of "+path] = hex.EncodeToString(sum[:])
		p.file(path)
	}
}

// Bury waits for what was orphaned and became this process's child. No command
// of this process's may be running.
func Bury() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
	}
}

// String is for failures.
func (p Picture) String() string {
	return strings.Join(slices.Sorted(maps.Keys(p)), "\n")
}
