package limits

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fakeKernel is a cgroup hierarchy and a /proc in a temporary directory, with
// as much of the kernel's behaviour as the package relies on.
type fakeKernel struct {
	t       *testing.T
	root    string // the mount point
	proc    string
	log     []string          // "write <path below root> <value>", "mkdir …", "rmdir …", in order
	refuse  map[string]error  // "write memory.max", "mkdir", "rmdir job": answer with this
	without map[string]bool   // files this kernel does not have
	text    map[string]string // contents of files other than the usual
}

// usualFiles are those of a group with all controllers, with what a fresh one
// answers.
var usualFiles = map[string]string{
	"cgroup.events": "populated 0\nfrozen 0\n", "cgroup.procs": "", "cgroup.kill": "", "cgroup.freeze": "0\n",
	"cgroup.type":        "domain\n",
	"cgroup.controllers": "cpuset cpu io memory pids\n", "cgroup.subtree_control": "\n",
	"cgroup.max.depth": "max\n", "cgroup.max.descendants": "max\n",
	"memory.max": "max\n", "memory.high": "max\n", "memory.swap.max": "max\n", "memory.zswap.max": "max\n", "memory.oom.group": "0\n",
	"cpu.max": "max 100000\n", "cpu.weight": "100\n", "pids.max": "max\n",
	"cpuset.cpus": "\n", "cpuset.cpus.effective": "0-3\n",
	"cpu.stat": "usage_usec 0\nuser_usec 0\nsystem_usec 0\n",
}

// newFakeKernel puts this process, its parent and whoever else is named into
// the group at path.
func newFakeKernel(t *testing.T, path string, others ...int) *fakeKernel {
	dir := t.TempDir()
	k := &fakeKernel{
		t: t, root: filepath.Join(dir, "cgroup"), proc: filepath.Join(dir, "proc"),
		refuse: map[string]error{}, without: map[string]bool{}, text: map[string]string{},
	}
	require.NoError(t, os.MkdirAll(filepath.Join(k.root, path), 0o755))
	for at := path; ; at = filepath.Dir(at) {
		k.populate(filepath.Join(k.root, at))
		if at == "/" {
			break
		}
	}
	require.NoError(t, os.Remove(filepath.Join(k.root, "cgroup.type")))
	k.file("self/cgroup", "0::"+path+"\n")
	k.file("self/stat", statLine(os.Getpid(), os.Getppid(), "limits.test", 777))
	k.file("self/mountinfo", "")
	k.file("sys/kernel/random/boot_id", "0f1e2d3c-7a7b-4c4d-8e8f-000000000000\n")
	k.file(strconv.Itoa(os.Getpid())+"/stat", statLine(os.Getpid(), os.Getppid(), "limits.test", 777))
	k.file(strconv.Itoa(os.Getppid())+"/stat", statLine(os.Getppid(), 0, "sh", 700))
	procs := ""
	for _, pid := range append([]int{os.Getpid(), os.Getppid()}, others...) {
		procs += strconv.Itoa(pid) + "\n"
	}
	k.put(filepath.Join(path, "cgroup.procs"), procs)
	return k
}

func statLine(pid, ppid int, comm string, start uint64) string {
	return strconv.Itoa(pid) + " (" + comm + ") S " + strconv.Itoa(ppid) +
		" 1 1 0 -1 4194304 100 0 0 0 11 12 13 14 20 0 1 0 " + strconv.FormatUint(start, 10) + " 1000 100 18446744073709551615\n"
}

// file writes a file of /proc, put one of the hierarchy.
func (k *fakeKernel) file(name, text string) { writeFile(k.t, filepath.Join(k.proc, name), text) }
func (k *fakeKernel) put(name, text string)  { writeFile(k.t, filepath.Join(k.root, name), text) }

func writeFile(t *testing.T, name, text string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}

func (k *fakeKernel) read(name string) string {
	text, err := os.ReadFile(filepath.Join(k.root, name))
	require.NoError(k.t, err)
	return string(text)
}

// options are those of a FindSubtree on this kernel.
func (k *fakeKernel) options() FindOptions {
	return FindOptions{proc: k.proc, mount: k.root, fake: &fake{made: k.made, remove: k.remove, write: k.write}}
}

func (k *fakeKernel) populate(dir string) {
	for name, text := range usualFiles {
		if other, ok := k.text[name]; ok {
			text = other
		}
		if !k.without[name] {
			require.NoError(k.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
	}
}

func (k *fakeKernel) note(words ...string) { k.log = append(k.log, strings.Join(words, " ")) }

func (k *fakeKernel) below(path string) string {
	rel, err := filepath.Rel(k.root, path)
	require.NoError(k.t, err)
	return rel
}

func (k *fakeKernel) made(path string) error {
	k.note("mkdir", k.below(path))
	err := k.refuse["mkdir"]
	if err == nil {
		k.populate(path)
	}
	return err
}

func (k *fakeKernel) remove(path string) error {
	k.note("rmdir", k.below(path))
	if err := k.refuse["rmdir "+filepath.Base(path)]; err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return unix.ENOENT
	}
	for _, e := range entries {
		if e.IsDir() {
			return unix.EBUSY
		}
	}
	for _, e := range entries {
		require.NoError(k.t, os.Remove(filepath.Join(path, e.Name())))
	}
	return nil
}

func (k *fakeKernel) write(path, value string) error {
	k.note("write", k.below(path), value)
	dir, name := filepath.Split(path)
	if err := k.refuse["write "+name]; err != nil {
		return err
	}
	switch name {
	case "cgroup.subtree_control":
		// The no-internal-process rule, from which the root group is exempt.
		procs, err := os.ReadFile(dir + "cgroup.procs")
		require.NoError(k.t, err)
		if len(procs) > 0 && filepath.Clean(dir) != k.root {
			return unix.EBUSY
		}
		old, _ := os.ReadFile(path)
		words := strings.Fields(string(old))
		for word := range strings.FieldsSeq(value) {
			if !slices.Contains(words, word[1:]) {
				words = append(words, word[1:])
			}
		}
		value = strings.Join(words, " ")
	case "cgroup.procs":
		k.move(value, path)
		return nil
	}
	return os.WriteFile(path, []byte(value+"\n"), 0o644)
}

// move puts a process into the group of one cgroup.procs file and out of all
// others.
func (k *fakeKernel) move(pid, to string) {
	require.NoError(k.t, filepath.WalkDir(k.root, func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) != "cgroup.procs" {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(k.t, err)
		procs := strings.Fields(string(text))
		procs = slices.DeleteFunc(procs, func(p string) bool { return p == pid })
		if path == to {
			procs = append(procs, pid)
		}
		return os.WriteFile(path, []byte(strings.Join(append(procs, ""), "\n")), 0o644)
	}))
}
