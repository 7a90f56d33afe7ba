package sandbox

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/limits"
)

// aHost is a machine that no test runs on.
func aHost(uid int) *facts {
	f := &facts{
		uid: uid, gid: uid, dir: "/srv/course/task", home: "/home/me", exe: "/usr/local/bin/jailrun",
		userXattr: true, timeNS: true, keys: true, landlock: 7,
		host: fs.Host{
			Base:  "/tmp",
			Trees: []fs.Entry{{Name: "usr", Dir: true}, {Name: "bin", Link: "usr/bin"}, {Name: "lib64", Dir: true}},
			Etc:   []fs.Entry{{Name: "etc/alternatives", Dir: true}, {Name: "etc/ld.so.cache"}, {Name: "etc/localtime", Link: "/usr/share/zoneinfo/UTC"}, {Name: "etc/ssl/certs", Dir: true}},
			Masks: []fs.Mask{{Name: "acpi", Dir: true}, {Name: "kallsyms"}, {Name: "scsi", Dir: true}},
		},
	}
	for i := range f.hard {
		f.hard[i] = unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	}
	return f
}

func planText(t *testing.T, s Spec, f *facts, b build) string {
	t.Helper()
	id, err := chooseIdentity(&s, f, func() (u, g []idmap.SubRange, err error) {
		r := []idmap.SubRange{{First: 100000, Count: 65536}}
		return r, r, nil
	})
	require.NoError(t, err)
	b.identity = id
	p, err := newPlan(&s, f, b)
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, p.Print(&text, false))
	for _, n := range p.notes {
		text.WriteString("note: " + n + "\n")
	}
	return text.String()
}

func TestPlans(t *testing.T) {
	secret := []string{"PATH=/usr/bin", "TOKEN=hunter2"}
	for name, tt := range map[string]struct {
		spec Spec
		uid  int
		b    build
	}{
		"self-watchdog": {Spec{Args: []string{"true"}}, 1000, build{}},
		"self-memory":   {Spec{Args: []string{"./a.out", "x y"}, Limits: Limits{Memory: 100 << 20, CPUTime: time.Second}}, 1000, build{stdin: true}},
		"auto-cgroup":   {Spec{Args: []string{"/bin/sh"}, Env: secret, Map: Map{Mode: "auto"}}, 1000, build{held: everyLimit, hasCgroup: true}},
		"root-block":    {Spec{Args: []string{"true"}, CWD: CWDWritable, User: "1000"}, 0, build{held: everyLimit, hasCgroup: true}},
		"everything": {Spec{
			Args: []string{"true"}, CWD: CWDNone, ReadOnlyRoot: true, Hostname: "box",
			Tmpfs: []Tmpfs{{Target: "/scratch"}, {Target: "/big", Size: limits.MiB}},
			Files: []File{{Target: "/etc/motd", Content: []byte("hi\n")}}, Seccomp: "strict", Limits: Limits{Pids: -1},
		}, 1000, build{}},
	} {
		t.Run(name, func(t *testing.T) {
			text := planText(t, tt.spec, aHost(tt.uid), tt.b)
			assert.Equal(t, text, planText(t, tt.spec, aHost(tt.uid), tt.b), "a plan is deterministic")
			assert.NotContains(t, text, "hunter2")
			golden(t, "plan-"+name+".golden", text)
		})
	}
}

// TestPlanOrder holds what the order of a launch rests on.
func TestPlanOrder(t *testing.T) {
	text := planText(t, Spec{Args: []string{"true"}}, aHost(1000), build{})
	last := -1
	for _, s := range []string{
		"keep-only(", "uid_map", "MS_REC|MS_PRIVATE", "openat2(", "\"tmpfs\"", "mount(\"proc\"", "pivot_root", "umount2(\".\"", "move_mount(tree-0", "CLONE_NEWTIME", "send-ready", "scrub()", "fork-job()",
		"PR_SET_DUMPABLE, 0", "write(gate", "reap()", "job (pid 2)", "CLONE_NEWCGROUP", "max_user_namespaces", "oom_score_adj",
		"MOUNT_ATTR_RDONLY", "PR_CAPBSET_DROP", "capset", "PR_SET_NO_NEW_PRIVS", "landlock_restrict_self", "read(gate", "keep-only(0, 1, 2, status, ctl)", "SECCOMP_SET_MODE_FILTER", "send-listener", "execve",
	} {
		i := strings.Index(text[last+1:], s)
		require.GreaterOrEqual(t, i, 0, "%s does not come after what must precede it", s)
		last += 1 + i
	}
}

// A network is waited for before the job is forked; with a driver that enters
// namespaces by pid, before anything of the root is opened.
func TestPlanAwaitsNetwork(t *testing.T) {
	for _, c := range []struct {
		first  bool
		before string // what stands behind the wait
	}{{true, "sethostname"}, {false, "fork-job()"}} {
		text := planText(t, Spec{Args: []string{"true"}}, aHost(1000), build{net: &netFiles{}, netFirst: c.first})
		require.Equal(t, 1, strings.Count(text, "the network is in force"))
		handed, wait, next := strings.Index(text, "by descriptor: a pid"), strings.Index(text, "the network is in force"), strings.Index(text, c.before)
		assert.Positive(t, handed)
		assert.Less(t, handed, wait)
		assert.Less(t, wait, next)
		root, confine := strings.Index(text, "pivot_root"), strings.Index(text, "CLONE_NEWCGROUP")
		assert.Equal(t, c.first, wait < root)
		assert.Less(t, wait, confine, "slirp4netns makes a mount namespace in the job's user namespace, which then allows none")
	}
}

func TestCurrentDirectoryChoice(t *testing.T) {
	for _, tt := range []struct {
		dir  string
		mode CWD
		want CWD
		err  bool
	}{
		{"/srv/course/task", CWDAuto, CWDCopy, false},
		{"/home/me", CWDAuto, CWDNone, false},
		{"/home/me", CWDReadOnly, 0, true},
		{"/home", CWDAuto, CWDNone, false},
		{"/home/other", CWDAuto, CWDNone, false},
		{"/home/me/.ssh", CWDAuto, CWDNone, false},
		{"/home/me/src", CWDAuto, CWDCopy, false},
		{"/", CWDAuto, CWDNone, false},
		{"/etc/ssl", CWDAuto, CWDNone, false},
		{"/usr/local/bin", CWDAuto, CWDNone, false},
		{"/", CWDWritable, 0, true},
	} {
		f := aHost(1000)
		f.dir = tt.dir
		s := Spec{Args: []string{"true"}, CWD: tt.mode}
		p, err := newPlan(&s, f, build{identity: identity{uid: idmap.Self(0, 1000), gid: idmap.Self(0, 1000)}})
		if tt.err {
			assert.Error(t, err, tt.dir)
			continue
		}
		require.NoError(t, err, tt.dir)
		assert.Equal(t, tt.want, p.cwd, tt.dir)
		if tt.want == CWDNone {
			assert.NotEmpty(t, p.notes, tt.dir)
		}
	}
}

func TestCheck(t *testing.T) {
	for field, s := range map[string]Spec{
		"command":    {},
		"env":        {Args: []string{"x"}, Env: []string{"novalue"}},
		"hostname":   {Args: []string{"x"}, Hostname: "a b"},
		"seccomp":    {Args: []string{"x"}, Seccomp: "none"},
		"unsafe":     {Args: []string{"x"}, Unsafe: []string{"everything"}},
		"bind":       {Args: []string{"x"}, Binds: []Bind{{Source: "/a", Target: "/proc/x"}}},
		"tmpfs":      {Args: []string{"x"}, Tmpfs: []Tmpfs{{Target: "relative"}}},
		"file":       {Args: []string{"x"}, Files: []File{{Target: "/"}}},
		"workdir":    {Args: []string{"x"}, Workdir: "/proc/self/fd/7"},
		"wall":       {Args: []string{"x"}, Limits: Limits{Wall: -1}},
		"pids":       {Args: []string{"x"}, Limits: Limits{Pids: -2}},
		"swap":       {Args: []string{"x"}, Limits: Limits{Swap: 1}},
		"inodes":     {Args: []string{"x"}, Limits: Limits{Inodes: 5}},
		"disk":       {Args: []string{"x"}, Limits: Limits{Disk: 5}},
		"cpu-weight": {Args: []string{"x"}, Limits: Limits{Weight: 10001}},
	} {
		err := s.check()
		var fe *FieldError
		if assert.ErrorAs(t, err, &fe, field) {
			assert.Equal(t, field, fe.Field)
		}
	}
}

// The watchdog's limits hold on a busy machine only if the job does not outrun
// it.
func TestPlanLowersAWatchedSession(t *testing.T) {
	const file = "/proc/self/autogroup"
	memory := Spec{Args: []string{"true"}, Limits: Limits{Memory: limits.GiB}}
	share := Spec{Args: []string{"true"}, Limits: Limits{CPU: limits.OneCPU}}
	for _, c := range []struct {
		held      holds
		spec      Spec
		autogroup bool
		want      bool
	}{
		{holds{}, memory, true, true},
		{holds{}, share, true, true},
		{holds{}, memory, false, false},
		{holds{}, Spec{Args: []string{"true"}}, true, false},
		{everyLimit, memory, true, false},
		{holds{memory: true, pids: true}, memory, true, false},
		{holds{memory: true, pids: true}, share, true, true},
	} {
		f := aHost(1000)
		f.autogroup = c.autogroup
		text := planText(t, c.spec, f, build{held: c.held, hasCgroup: c.held != holds{}})
		assert.Equal(t, c.want, strings.Contains(text, file), "%v", c.held)
	}
}
