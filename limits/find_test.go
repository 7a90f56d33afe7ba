package limits

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	scope    = "/user.slice/user-1000.slice/user@1000.service/app.slice/job.scope"
	stranger = 4194000
)

func find(t *testing.T, k *fakeKernel, change func(*FindOptions)) (*Subtree, error) {
	opt := k.options()
	if change != nil {
		change(&opt)
	}
	s, err := FindSubtree(opt)
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

func needing(names ...string) func(*FindOptions) {
	return func(o *FindOptions) { o.Need, o.Want = names, []string{"io", "rdma"} }
}

func evacuating(names ...string) func(*FindOptions) {
	return func(o *FindOptions) { o.Need, o.Evacuate = names, true }
}

func TestFindEnablesControllersInAnEmptyGroup(t *testing.T) {
	// As in a container: the caller is in the root of its cgroup namespace,
	// which for the kernel is exempt here because it is the real root.
	k := newFakeKernel(t, "/")
	s, err := find(t, k, needing("memory", "pids"))
	require.NoError(t, err)
	assert.Equal(t, k.root, s.Path())
	assert.Equal(t, []string{"memory", "pids", "io"}, s.Controllers())
	assert.Empty(t, s.Evacuated())
	probe := "run-" + strconv.Itoa(os.Getpid()) + "-777-0f1e2d3c-probe"
	assert.Equal(t, []string{
		"mkdir " + probe, "rmdir " + probe, "write cgroup.subtree_control +memory +pids +io",
	}, k.log)
}

func TestFindKeepsTheFirstGroup(t *testing.T) {
	k := newFakeKernel(t, "/")
	first := func(o *FindOptions) { o.Need, o.First = []string{"memory"}, "a1" }
	name := "run-" + strconv.Itoa(os.Getpid()) + "-777-0f1e2d3c-a1"

	s, err := find(t, k, first)
	require.NoError(t, err)
	assert.DirExists(t, filepath.Join(k.root, name))
	g, err := s.NewGroup("a1", GroupLimits{Memory: GiB})
	require.NoError(t, err)
	assert.Equal(t, "1073741824\n", k.read(name+"/memory.max"))
	_, err = s.NewGroup("a1", GroupLimits{})
	require.ErrorIs(t, err, unix.EEXIST, "only once")
	require.NoError(t, g.Remove())

	s, err = FindSubtree(func() FindOptions { o := k.options(); first(&o); return o }())
	require.NoError(t, err)
	s.Close()
	assert.NoDirExists(t, filepath.Join(k.root, name), "a group that never came")
}

func TestFindUsesEnabledControllers(t *testing.T) {
	k := newFakeKernel(t, scope)
	k.put(scope+"/cgroup.subtree_control", "memory pids\n")
	s, err := find(t, k, func(o *FindOptions) { o.Need = []string{"pids", "memory"} })
	require.NoError(t, err)
	assert.Equal(t, []string{"memory", "pids"}, s.Controllers())
	assert.NoError(t, s.Lacks())
}

func TestFindEvacuatesCallerAndAncestors(t *testing.T) {
	k := newFakeKernel(t, scope)
	_, err := find(t, k, needing("memory"))
	require.ErrorIs(t, err, ErrNotDelegated)
	require.EqualError(t, err, "own cgroup "+scope+": no cgroup v2 subtree is delegated: "+
		"it holds 2 processes, so no controller can be enabled below it, and moving them was not allowed")

	s, err := find(t, k, evacuating("memory"))
	require.NoError(t, err)
	assert.Equal(t, k.root+scope, s.Path())
	assert.Equal(t, []int{os.Getpid(), os.Getppid()}, s.Evacuated())
	assert.Empty(t, k.read(scope+"/cgroup.procs"))
	assert.Equal(t, strconv.Itoa(os.Getpid())+"\n"+strconv.Itoa(os.Getppid())+"\n", k.read(scope+"/jailrun-caller/cgroup.procs"))

	// The next run of the same shell finds itself in the leaf, and works in
	// the group that the shell was given.
	k.file("self/cgroup", "0::"+scope+"/jailrun-caller\n")
	again, err := find(t, k, evacuating("memory"))
	require.NoError(t, err)
	assert.Equal(t, k.root+scope, again.Path())
	assert.Empty(t, again.Evacuated())

	// Somebody limits the leaf: a job beside it would shed that limit.
	k.put(scope+"/jailrun-caller/memory.max", "33554432\n")
	limited, err := find(t, k, evacuating("memory"))
	require.NoError(t, err)
	assert.Equal(t, k.root+scope+"/jailrun-caller", limited.Path())
}

func TestFindNeverMovesStrangers(t *testing.T) {
	for name, row := range map[string]struct {
		pid  int
		comm string
		want string
	}{
		"a visible one":                {stranger, "x) y", strconv.Itoa(stranger) + ` "x) y"`},
		"one of another pid namespace": {0, "", "some of another pid namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKernel(t, scope, row.pid)
			if row.comm != "" {
				k.file(strconv.Itoa(row.pid)+"/stat", statLine(row.pid, 1, row.comm, 1))
			}
			before := k.read(scope + "/cgroup.procs")
			_, err := find(t, k, evacuating("memory"))
			require.ErrorIs(t, err, ErrNotDelegated)
			require.ErrorContains(t, err, "it also holds processes that are not the caller's to move: "+row.want)
			assert.Equal(t, before, k.read(scope+"/cgroup.procs"))
			assert.NoDirExists(t, k.root+scope+"/jailrun-caller")
		})
	}
	t.Run("one that proc does not show", func(t *testing.T) {
		k := newFakeKernel(t, scope, stranger)
		_, err := find(t, k, evacuating("memory"))
		require.ErrorIs(t, err, ErrNotDelegated)
		require.ErrorContains(t, err, "processes keep appearing in it")
		assert.NotContains(t, k.log, "write "+scope[1:]+"/jailrun-caller/cgroup.procs "+strconv.Itoa(stranger))
		assert.NoDirExists(t, k.root+scope+"/jailrun-caller")
		assert.Contains(t, k.read(scope+"/cgroup.procs"), strconv.Itoa(os.Getpid()), "the caller is moved back")
	})
}

func TestFindMovesBackWhenItWasInVain(t *testing.T) {
	k := newFakeKernel(t, scope)
	opt := k.options()
	opt.Need, opt.Evacuate = []string{"cpu"}, true
	calls, write := 0, opt.fake.write
	opt.fake.write = func(path, value string) error {
		if filepath.Base(path) == "cgroup.subtree_control" {
			calls++
			return unix.EINVAL // as with real-time tasks under CONFIG_RT_GROUP_SCHED
		}
		return write(path, value)
	}
	_, err := FindSubtree(opt)
	require.ErrorIs(t, err, ErrNoController)
	require.ErrorIs(t, err, unix.EINVAL)
	assert.Equal(t, 1, calls)
	assert.Contains(t, k.read(scope+"/cgroup.procs"), strconv.Itoa(os.Getpid()))
	assert.NoDirExists(t, k.root+scope+"/jailrun-caller")
}

func TestFindRefusals(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(k *fakeKernel)
		kind  error
		errno error
		want  string
	}{
		"no v2 hierarchy": {
			func(k *fakeKernel) { k.file("self/cgroup", "3:cpu:/\n2:memory:/\n") }, ErrNotDelegated, nil,
			"own cgroup: no cgroup v2 subtree is delegated: this process is in no cgroup v2 hierarchy",
		},
		"read-only mount": {
			func(k *fakeKernel) { k.refuse["mkdir"] = unix.EROFS }, ErrNotDelegated, unix.EROFS, "read-only file system",
		},
		"cgroup.procs of root": {
			func(k *fakeKernel) { require.NoError(t, os.Chmod(k.root+scope+"/cgroup.procs", 0o444)) },
			ErrNotDelegated, unix.EACCES, "cgroup.procs: permission denied",
		},
		"memory on v1": {
			func(k *fakeKernel) {
				k.file("self/cgroup", "4:memory:/\n2:cpu,cpuacct:/\n0::"+scope+"\n")
				k.put(scope+"/cgroup.controllers", "hugetlb\n")
			},
			ErrNoController, nil, "memory is bound to cgroup v1 on this host",
		},
		"memory not handed down": {
			func(k *fakeKernel) { k.put(scope+"/cgroup.controllers", "cpu pids\n") }, ErrNoController, nil,
			"memory was not handed down by the parent cgroup, only: cpu pids",
		},
		"nothing handed down": {
			func(k *fakeKernel) { k.put(scope+"/cgroup.controllers", "\n") }, ErrNoController, nil,
			"memory was not handed down by the parent cgroup, only: none",
		},
		"threaded group": {
			func(k *fakeKernel) { k.put(scope+"/cgroup.procs", "x\n") }, ErrNotDelegated, nil, "not a number",
		},
		"threaded domain": {
			func(k *fakeKernel) { k.text["cgroup.type"] = "domain invalid\n" }, ErrNotDelegated, nil,
			`groups made in it are "domain invalid", not "domain"`,
		},
		"another group of that name": {
			func(k *fakeKernel) { k.put(scope+"/cgroup.procs", "1\n") }, ErrNotDelegated, nil, "does not hold this process",
		},
		"outside the cgroup namespace": {
			func(k *fakeKernel) { k.file("self/cgroup", "0::/../other\n") }, ErrNotDelegated, nil, "no cgroup v2 mount shows it",
		},
		"own group deleted": {
			func(k *fakeKernel) { k.file("self/cgroup", "0::/gone (deleted)\n") }, ErrNotDelegated, nil, "no cgroup v2 mount shows it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKernel(t, scope)
			row.spoil(k)
			opt := k.options()
			opt.Need, opt.Evacuate = []string{"memory"}, true
			_, err := FindSubtree(opt)
			var tried *FindError
			require.ErrorAs(t, err, &tried)
			assert.Len(t, tried.Tried, 1)
			require.ErrorIs(t, err, row.kind)
			if row.errno != nil {
				require.ErrorIs(t, err, row.errno)
			}
			assert.ErrorContains(t, err, row.want)
		})
	}
}

func TestFindByMountinfo(t *testing.T) {
	k := newFakeKernel(t, "/")
	// docker with the host's cgroup namespace: the mount shows one directory.
	k.file("self/cgroup", "0::/system.slice/docker-1.scope\n")
	k.file("self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"+
		"41 31 0:38 /system.slice/other /nowhere rw,relatime - cgroup2 cgroup rw\n"+
		"42 31 0:38 /system.slice/docker-1.scope "+k.root+" rw,nosuid shared:9 - cgroup2 cgroup rw,nsdelegate\n")
	s, err := find(t, k, nil)
	require.NoError(t, err)
	assert.Equal(t, k.root, s.Path())
}

func TestFindBare(t *testing.T) {
	k := newFakeKernel(t, scope)
	k.file("self/cgroup", "4:memory:/\n0::"+scope+"\n")
	k.put(scope+"/cgroup.controllers", "hugetlb\n")
	s, err := find(t, k, func(o *FindOptions) { o.Need, o.Bare = []string{"memory"}, true })
	require.NoError(t, err)
	assert.Empty(t, s.Controllers())
	require.ErrorIs(t, s.Lacks(), ErrNoController)

	k = newFakeKernel(t, scope)
	s, err = find(t, k, func(o *FindOptions) { o.Need, o.Bare = []string{"memory"}, true })
	require.NoError(t, err, "a library that may not move its caller still has a place for freeze and cpu.stat")
	require.ErrorIs(t, s.Lacks(), ErrNotDelegated)
	assert.Empty(t, s.Controllers())
}

// What users are commonly delegated: memory is worth having without cpu.
func TestFindParts(t *testing.T) {
	parts := func(o *FindOptions) {
		o.Need, o.Evacuate, o.Bare = []string{"pids", "memory", "cpu"}, true, true
		o.Parts = [][]string{{"pids", "memory"}, {"pids", "cpu"}}
	}
	for available, want := range map[string][]string{
		"memory pids": {"memory", "pids"}, "cpu pids": {"cpu", "pids"}, "io": {}, "cpu memory pids": {"cpu", "memory", "pids"},
	} {
		k := newFakeKernel(t, scope)
		k.put(scope+"/cgroup.controllers", available+"\n")
		s, err := find(t, k, parts)
		require.NoError(t, err)
		assert.ElementsMatch(t, want, s.Controllers(), available)
		if len(want) == 3 {
			assert.NoError(t, s.Lacks())
			continue
		}
		require.ErrorIs(t, s.Lacks(), ErrNoController, available)
		assert.Equal(t, len(want) > 0, s.Evacuated() != nil, "only for what is worth it: %s", available)
	}

	// Nobody is moved who must not be.
	k := newFakeKernel(t, scope)
	k.put(scope+"/cgroup.controllers", "memory pids\n")
	s, err := find(t, k, func(o *FindOptions) { parts(o); o.Evacuate = false })
	require.NoError(t, err)
	assert.Empty(t, s.Controllers())
}

func TestFindOnlyWantedMayBeRefused(t *testing.T) {
	k := newFakeKernel(t, "/")
	opt := k.options()
	opt.Need, opt.Want = []string{"memory"}, []string{"cpu", "io"}
	write := opt.fake.write
	opt.fake.write = func(path, value string) error {
		if strings.Contains(value, "+cpu") {
			return unix.EINVAL
		}
		return write(path, value)
	}
	s, err := FindSubtree(opt)
	require.NoError(t, err)
	defer s.Close()
	assert.Equal(t, []string{"memory", "io"}, s.Controllers())
}

func TestFindRefusesWhatIsNoCgroupfs(t *testing.T) {
	k := newFakeKernel(t, "/")
	opt := k.options()
	opt.fake = nil
	_, err := FindSubtree(opt)
	require.ErrorIs(t, err, ErrNotDelegated)
}
