package sandbox

import (
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/fs/transfer"
	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/userns"
)

var update = flag.Bool("update", false, "rewrite the goldens of hints and verdicts")

// golden compares text with a file below testdata, or rewrites it.
func golden(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

// onHost is a host on which these files have these contents.
func onHost(files map[string]string) host {
	h := noHost
	h.read = func(path string) (string, bool) {
		text, ok := files[path]
		return text, ok
	}
	return h
}

// v2 is a file of a host with cgroup v2 alone.
const v2 = "/sys/fs/cgroup/cgroup.controllers"

var hintCases = []struct {
	name  string
	stage string
	err   error
	files map[string]string
	want  string // in the hint; "" for no hint
}{
	{"disabled, fix known", "clone", &userns.DisabledError{Why: "x", Fix: "the fix\x1b[2J", Err: unix.EPERM}, nil, `the fix\x1b[2J`},
	{"disabled", "clone", userns.ErrDisabled, nil, "jailrun doctor"},
	{"no subordinate ids", "identity", fmt.Errorf("/etc/subuid: %w for x", idmap.ErrNoSubIDs), nil, "--add-subuids"},
	{"no helper", "identity", fmt.Errorf("%w: not there", userns.ErrNoHelper), nil, "install the package uidmap"},
	{"no new privs", "identity", fmt.Errorf("%w: %w", userns.ErrNoHelper, userns.ErrNoNewPrivs), nil, "NoNewPrivileges=no"},
	{"helper refuses the range", "identity", &userns.HelperError{Path: "/usr/bin/newuidmap", Output: `"newuidmap: uid range [0-1) -> [5-6) not allowed"`}, nil, "/etc/subuid"},
	{"helper fails", "identity", &userns.HelperError{Path: "/usr/bin/newuidmap", Output: `"killed"`}, nil, "/usr/bin/newuidmap"},
	{"no block", "identity", userns.ErrNoBlock, nil, "/proc/self/uid_map"},
	{"no id-mapped mounts", "root", fmt.Errorf("%w: %w", userns.ErrNoIDMap, unix.EINVAL), nil, "Linux 5.12"},
	{"not delegated", "limits", limits.ErrNotDelegated, map[string]string{v2: "cpu"}, "systemd-run --user --scope -p Delegate=yes"},
	{"not delegated, read-only", "limits", errors.Join(limits.ErrNotDelegated, unix.EROFS), map[string]string{v2: "cpu"}, "writable-cgroups=true"},
	{"not delegated, no login", "limits", limits.ErrNotDelegated, map[string]string{v2: "cpu", "/proc/self/cgroup": "0::/system.slice/cron.service"}, "belongs to no login"},
	{"not delegated, a login", "limits", limits.ErrNotDelegated, map[string]string{v2: "cpu", "/proc/self/cgroup": "0::/user.slice/user-7.slice/session-1.scope"}, "systemd-run --user --scope"},
	{"not delegated, no manager", "limits", errors.Join(limits.ErrNotDelegated, unix.ENOENT), map[string]string{v2: "cpu"}, "enable-linger"},
	{"one way not delegated, another without", "limits", errors.Join(limits.ErrNotDelegated, limits.ErrNoController), map[string]string{v2: "cpu"}, "systemctl edit user@.service"},
	{"not delegated, v1", "limits", limits.ErrNotDelegated, nil, "systemd.unified_cgroup_hierarchy=1"},
	{"no controller", "limits", limits.ErrNoController, map[string]string{v2: "cpu"}, "Delegate=cpu cpuset io memory pids"},
	{"no controller, v1", "limits", limits.ErrNoController, nil, "systemd.unified_cgroup_hierarchy=1"},
	{"no base", "survey", fs.ErrNoBase, nil, "make /tmp a directory"},

	{"clone, sysctl", "clone", call("clone3", unix.EPERM), map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone to 1"},
	{"clone, sysctl is on", "clone", call("clone3", unix.EPERM), map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "1"}, "a security module"},
	{"clone, AppArmor", "clone", call("clone3", unix.EACCES), map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor lets namespaces be made"},
	{"clone, AppArmor is off", "clone", call("clone3", unix.EPERM), map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0"}, "a security module"},
	{"clone, Docker", "clone", call("clone3", unix.EPERM), map[string]string{"/proc/self/status": "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1"}, "--security-opt systempaths=unconfined"},
	{"clone, Docker hides clone3", "clone", call("clone3", unix.ENOSYS), map[string]string{"/proc/self/status": "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1"}, "--security-opt seccomp=unconfined"},
	{"clone, no filter", "clone", call("clone3", unix.EPERM), map[string]string{"/proc/self/status": "Name:\tSeccomp:\t2\nSeccomp:\t0\n"}, "a security module"},
	{"clone, none allowed", "clone", call("clone3", unix.ENOSPC), map[string]string{"/proc/sys/user/max_user_namespaces": "0"}, "user.max_user_namespaces to 15000"},
	{"clone, used up", "clone", call("clone3", unix.ENOSPC), map[string]string{"/proc/sys/user/max_user_namespaces": "10"}, "not a disk"},
	{"clone, too deep", "clone", call("clone3", unix.EUSERS), nil, "nest less deep"},
	{"clone, RLIMIT_NPROC", "clone", call("clone3", unix.EAGAIN), nil, "ulimit -u"},
	{"clone into a group", "clone", call("clone3", unix.EBUSY), nil, "put processes into the group"},
	{"clone, old kernel", "clone", call("clone3", unix.ENOSYS), nil, "Linux 5.7"},
	{"clone, no memory", "clone", call("clone3", unix.ENOMEM), nil, "no memory left"},
	{"map, AppArmor", "identity", &Error{Op: "write", Path: "/proc/self/uid_map", Errno: unix.EPERM}, map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor"},
	{"mount, AppArmor", "root", &Error{Op: "mount tmpfs", Path: "/tmp", Errno: unix.EPERM}, map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor"},
	{"map, no AppArmor", "identity", &Error{Op: "write", Path: "/proc/self/uid_map", Errno: unix.EPERM}, nil, ""},
	{"fork of the job", "fork", &Error{Op: "fork-job", Errno: unix.EAGAIN}, nil, "no room for another process"},

	{"masked proc", "proc", &Error{Op: "mount proc", Path: "/proc", Errno: unix.EPERM}, nil, "--security-opt systempaths=unconfined"},
	{"overlay, no module", "root", &Error{Op: "mount overlay", Path: "/work", Errno: unix.ENODEV}, nil, "modprobe overlay"},
	{"overlay refused", "root", &Error{Op: "mount overlay", Path: "/work", Errno: unix.EINVAL}, nil, "5.11"},
	{"overlay not allowed", "root", &Error{Op: "mount overlay", Path: "/work", Errno: unix.EPERM}, nil, "5.11"},
	{"mount in Docker", "root", &Error{Op: "mount", Path: "/", Errno: unix.EACCES}, map[string]string{"/proc/self/status": "x\nSeccomp:\t2\n"}, "apparmor=unconfined"},
	{"mount, too many", "root", &Error{Op: "mount", Path: "/usr", Errno: unix.ENOSPC}, nil, "fs.mount-max"},
	{"mount, source gone", "root", &Error{Op: "mount", Path: "/data", Errno: unix.ENOENT}, nil, "--bind"},
	{"mountain is no mount", "root", &Error{Op: "mountain", Errno: unix.ENOENT}, nil, ""},
	{"root does not fit", "root", &Error{Op: "mkdirat", Path: "/etc", Errno: unix.ENOSPC}, nil, "--inodes"},
	{"tun closed", "net", &os.PathError{Op: "open", Path: "/dev/net/tun", Err: unix.EACCES}, nil, "/dev/net/tun must be open to this user"},
	{"tun missing", "net", &os.PathError{Op: "open", Path: "/dev/net/tun", Err: unix.ENOENT}, nil, "modprobe tun"},
	{"no nf_tables", "net", &Error{Op: "socket AF_NETLINK", Errno: unix.EPROTONOSUPPORT}, nil, "modprobe -a nf_tables"},

	{"hard limit", "limits", &Error{Op: "prlimit64 RLIMIT_NOFILE", Errno: unix.EPERM}, nil, "ulimit -H"},
	{"no seccomp", "confine", &Error{Op: "seccomp SECCOMP_SET_MODE_FILTER", Errno: unix.EINVAL}, nil, "CONFIG_SECCOMP_FILTER"},
	{"stacked filters", "exec", &Error{Op: "seccomp SECCOMP_SET_MODE_FILTER", Errno: unix.ENOMEM}, nil, "nest sandboxes less deep"},

	{"exec, workdir", "exec", &Error{Op: "chdir", Path: "/x", Errno: unix.ENOENT}, nil, "--workdir"},
	{"exec ENOENT", "exec", &Error{Op: "execve", Path: "/x", Errno: unix.ENOENT}, nil, "loader"},
	{"exec ENOTDIR", "exec", &Error{Op: "execve", Path: "/x/y", Errno: unix.ENOTDIR}, nil, "loader"},
	{"exec EACCES", "exec", &Error{Op: "execve", Path: "/x", Errno: unix.EACCES}, nil, "noexec"},
	{"exec ENOEXEC", "exec", &Error{Op: "execve", Path: "/x", Errno: unix.ENOEXEC}, nil, "another architecture"},
	{"exec E2BIG", "exec", &Error{Op: "execve", Path: "/x", Errno: unix.E2BIG}, nil, "128 KiB"},
	{"copy too large", "collect", fmt.Errorf("copy /work/x: %w", transfer.ErrTooLarge), nil, "at most --disk"},
	{"copy of too many", "files", fmt.Errorf("copy in: %w", transfer.ErrTooMany), nil, "at most --inodes"},
	{"copy of nothing", "collect", &os.PathError{Op: "open", Path: "/work/x", Err: unix.ENOENT}, nil, "did not leave it there"},
	{"exec ETXTBSY", "exec", &Error{Op: "execve", Path: "/x", Errno: unix.ETXTBSY}, nil, "open for writing"},
	{"exec ELOOP", "exec", &Error{Op: "execve", Path: "/x", Errno: unix.ELOOP}, nil, "too many symbolic links"},
	{"exec ENOMEM", "exec", &Error{Op: "execve", Path: "/x", Errno: unix.ENOMEM}, nil, "raise --mem or --as"},
	{"exec EAGAIN", "exec", &Error{Op: "execve", Path: "/x", Errno: unix.EAGAIN}, nil, "--pids"},

	{"EMFILE", "descriptors", call("pipe2", unix.EMFILE), nil, "ulimit -n"},
	{"ENFILE", "descriptors", call("pipe2", unix.ENFILE), nil, "fs.file-max"},
	{"ETOOMANYREFS", "root", call("sendmsg", unix.ETOOMANYREFS), nil, "ulimit -Hn"},
	{"ENOMEM", "run", call("poll", unix.ENOMEM), nil, "memory.max"},
	{"EDQUOT", "result", &os.PathError{Op: "write", Path: "/r", Err: unix.EDQUOT}, nil, "quota -s"},
	{"ENOSPC", "result", &os.PathError{Op: "write", Path: "/r", Err: unix.ENOSPC}, nil, "df -h"},
	{"EROFS", "limits", &os.PathError{Op: "mkdir", Path: "/sys/fs/cgroup/x", Err: unix.EROFS}, nil, "read-only"},

	{"nothing known", "run", call("poll", unix.EINVAL), nil, ""},
	{"words", "spec", errors.New("no program given"), nil, ""},
}

func call(name string, errno unix.Errno) error { return os.NewSyscallError(name, errno) }

// caseError makes the error of a case; an *Error in it stands for a step.
func caseError(h host, stage string, err error) *Error {
	e := &Error{}
	if errors.As(err, &e) {
		c := *e
		c.Stage = stage
		c.Hint = hint(&c, h)
		return &c
	}
	return wrapOn(h, stage, err)
}

func TestHint(t *testing.T) {
	for _, c := range hintCases {
		e := caseError(onHost(c.files), c.stage, c.err)
		if c.want == "" {
			assert.Empty(t, e.Hint, c.name)
		} else {
			assert.Contains(t, e.Hint, c.want, c.name)
		}
	}
}

// Every row of the table is the answer to some case.
func TestHintRowsAreReached(t *testing.T) {
	reached := map[int]bool{}
	for _, c := range hintCases {
		h := onHost(c.files)
		e := caseError(h, c.stage, c.err)
		for i, r := range hintRows() {
			if r.matches(e, h) && (r.fix == nil || r.fix(e) != "") {
				reached[i] = true
				break
			}
		}
	}
	for i, r := range hintRows() {
		assert.True(t, reached[i], "row %d is never the answer: %s", i, r.text)
	}
}

func TestHintListing(t *testing.T) {
	h := onHost(map[string]string{})
	var b strings.Builder
	for _, r := range hintRows() {
		var when []string
		if r.is != nil {
			when = append(when, "error: "+r.is.Error())
		}
		if r.also != nil {
			when = append(when, "and "+r.also.Error())
		}
		if r.stage != "" {
			when = append(when, "stage "+r.stage)
		}
		if r.op != "" {
			when = append(when, r.op)
		}
		if r.path != "" {
			when = append(when, r.path)
		}
		for _, errno := range r.errno {
			when = append(when, unix.ErrnoName(errno))
		}
		for name, probe := range map[string]func(host) bool{
			"unprivileged_userns_clone=0": noUsernsClone, "max_user_namespaces=0": noUsernsLeft,
			"AppArmor restricts": apparmorRestricts, "under a filter": filtered, "cgroup v1": cgroupV1, "in no login": noLogin,
		} {
			if reflect.ValueOf(r.when).Pointer() == reflect.ValueOf(probe).Pointer() {
				when = append(when, "("+name+")")
			}
		}
		if len(when) == 0 {
			when = append(when, "error: of newuidmap or newgidmap")
		}
		text := r.text
		if r.fix != nil {
			text = "(of the error itself)"
		}
		assert.Equal(t, printable(text), text)
		assert.False(t, strings.HasSuffix(text, "."), text)
		assert.NotRegexp(t, `^[A-Z][a-z]+ing|^(Please|You|Try) `, text)
		fmt.Fprintf(&b, "%s\n    %s\n", strings.Join(when, ", "), text)
	}
	golden(t, "hint.golden", b.String())
	assert.Empty(t, hint(&Error{Stage: "run"}, h))
}

// files are what look finds, by root and name.
type files map[string]executable

func (f files) host(path string) host {
	h := noHost
	h.look = func(root, name string) executable {
		if root == "/" {
			root = ""
		}
		return f[root+filepath.Clean(name)]
	}
	h.path = func() string { return path }
	return h
}

// elfHead is the head of a program with a loader.
func elfHead(machine uint16, loader string) string {
	b := make([]byte, 64+56)
	copy(b, "\x7fELF\x02\x01\x01")
	b[18], b[19] = byte(machine), byte(machine>>8)
	b[32], b[54], b[56] = 64, 56, 1
	if loader != "" {
		b[64], b[64+8], b[64+32] = 3, 64+56, byte(len(loader)+1)
	}
	return string(b) + loader + "\x00"
}

func exe(head string) executable { return executable{found: true, mode: 0o755, head: head} }

func TestExplainExec(t *testing.T) {
	shown := fs.Root{
		Host: fs.Host{Trees: []fs.Entry{{Name: "usr", Dir: true}, {Name: "bin", Link: "usr/bin"}}, Etc: []fs.Entry{{Name: "etc/alternatives", Dir: true}}},
		Work: fs.Mount{Source: "/home/u/p", Target: WorkDir},
		Extra: []fs.Mount{
			{Source: "/home/u/tools", Target: "/opt/tools", Dir: true},
			{Target: "/opt/tools/tmp", Dir: true, Size: 1},
			{Source: "/home/u/one", Target: "/opt/one"},
		},
	}
	hidden := shown
	hidden.Work = fs.Mount{}
	other := fs.Root{Lowers: []fs.Lower{{Dir: "/srv/root"}}, Work: shown.Work}
	foreign, foreignName := uint16(183), "arm64"
	if runtime.GOARCH == "arm64" {
		foreign, foreignName = 62, "amd64"
	}
	there := files{
		"/usr/bin/python3":      exe(elfHead(62, "/lib64/ld-linux-x86-64.so.2")),
		"/usr/bin/static":       exe(elfHead(62, "")),
		"/home/u/p/script":      exe("#!/usr/bin/perl6 -w\nprint"),
		"/home/u/p/home":        exe("#! /home/u/bin/tool\n"),
		"/home/u/bin/tool":      exe(""),
		"/home/u/p/crlf":        exe("#!/bin/sh\r\necho\r\n"),
		"/home/u/p/plain":       {found: true, mode: 0o644, head: "#!/bin/sh\n"},
		"/home/u/p/text":        exe("print('hi')\n"),
		"/home/u/p/empty":       exe(""),
		"/home/u/p/foreign":     exe(elfHead(foreign, "")),
		"/home/u/p/dir":         {found: true, mode: os.ModeDir | 0o755},
		"/home/u/p/a b\n":       exe("#!/no/such interp\n"),
		"/home/u/q/prog":        exe(""),
		"/home/u/.local/bin/go": exe(""),
		"/home/u/tools/t":       exe("#!/x\n"),
		"/home/u/one":           exe("#!/x\n"),
		"/home/u/tools/tmp/t":   exe("#!/x\n"),
		"/srv/root/bin/sh":      exe(elfHead(62, "/lib/ld-musl-x86_64.so.1")),
		"/etc/alternatives/x":   exe("#!/x\n"),
		"/etc/secret":           exe("#!/x\n"),
	}
	for _, row := range []struct {
		name  string
		root  *fs.Root
		prog  string   // as it was asked for
		tried []string // inside
		errno unix.Errno
		want  string // all of the hint; "" for that of the table
	}{
		{
			"loader missing", &shown, "python3",
			[]string{"/usr/local/bin/python3", "/usr/bin/python3"},
			unix.ENOENT,
			"/usr/bin/python3 is there, but its loader /lib64/ld-linux-x86-64.so.2 is not in the root: use a --rootfs that has it",
		},
		{"static and ENOENT", &shown, "/usr/bin/static", []string{"/usr/bin/static"}, unix.ENOENT, ""},
		{
			"interpreter missing", &shown, "./script",
			[]string{"./script"},
			unix.ENOENT,
			"/work/script is there, but its interpreter /usr/bin/perl6 is not in the root: use a --rootfs that has it",
		},
		{
			"interpreter exists outside", &shown, "./home",
			[]string{"./home"},
			unix.ENOENT,
			"/work/home is there, but its interpreter /home/u/bin/tool is not in the root: show it with --bind /home/u/bin/tool:/home/u/bin/tool:ro",
		},
		{
			"carriage return", &shown, "./crlf",
			[]string{"./crlf"},
			unix.ENOENT,
			"the first line of /work/crlf ends in a carriage return: save it with Unix line ends",
		},
		{
			"hostile name", &shown, "./a b\n",
			[]string{"./a b\n"},
			unix.ENOENT,
			`"/work/a b\n" is there, but its interpreter /no/such is not in the root: use a --rootfs that has it`,
		},
		{
			"in another root", &other, "sh",
			[]string{"/bin/sh"},
			unix.ENOENT,
			"/bin/sh is there, but its loader /lib/ld-musl-x86_64.so.1 is not in the root: use a --rootfs that has it",
		},
		{
			"bound", &shown, "/opt/tools/t",
			[]string{"/opt/tools/t"},
			unix.ENOENT,
			"/opt/tools/t is there, but its interpreter /x is not in the root: use a --rootfs that has it",
		},
		{
			"bound file", &shown, "/opt/one",
			[]string{"/opt/one"},
			unix.ENOENT,
			"/opt/one is there, but its interpreter /x is not in the root: use a --rootfs that has it",
		},
		{
			"covered by a tmpfs", &shown, "/opt/tools/tmp/t",
			[]string{"/opt/tools/tmp/t"},
			unix.ENOENT,
			"there is no /opt/tools/tmp/t, outside or inside: check the spelling",
		},
		{
			"in /etc", &shown, "/etc/alternatives/x",
			[]string{"/etc/alternatives/x"},
			unix.ENOENT,
			"/etc/alternatives/x is there, but its interpreter /x is not in the root: use a --rootfs that has it",
		},
		{
			"not shown of /etc", &shown, "/etc/secret",
			[]string{"/etc/secret"},
			unix.ENOENT,
			"/etc/secret exists outside, but not in the root: show it with --bind /etc/secret:/etc/secret:ro, or start in its directory (-C)",
		},

		{
			"not executable", &shown, "./plain",
			[]string{"./plain"},
			unix.EACCES,
			"/work/plain is not executable: chmod +x it, or start it by its interpreter",
		},
		{"directory", &shown, "./dir", []string{"./dir"}, unix.EACCES, "/work/dir is a directory: name the program in it"},
		{"EACCES for no known reason", &shown, "./text", []string{"./text"}, unix.EACCES, ""},
		{
			"no first line", &shown, "./text",
			[]string{"./text"},
			unix.ENOEXEC,
			"/work/text is neither a program nor a script with a first line like #!/bin/sh: did you mean sh /work/text?",
		},
		{"empty", &shown, "./empty", []string{"./empty"}, unix.ENOEXEC, "/work/empty is empty: did its build fail?"},
		{
			"architecture", &shown, "./foreign",
			[]string{"./foreign"},
			unix.ENOEXEC,
			"/work/foreign is built for " + foreignName + ", and this host is " + runtime.GOARCH,
		},
		{"too long", &shown, "./text", []string{"./text"}, unix.E2BIG, ""},

		{"here, without ./", &shown, "script", []string{"/usr/bin/script"}, unix.ENOENT, "did you mean ./script? the current directory is not searched"},
		{"here, not shown", &hidden, "script", []string{"/usr/bin/script"}, unix.ENOENT, "script is in the current directory, which is not shown (--cwd)"},
		{
			"in the caller's PATH", &shown, "go",
			[]string{"/usr/bin/go"},
			unix.ENOENT,
			"go is /home/u/.local/bin/go outside, which is not in the root: show it with --bind /home/u/.local/bin/go:/home/u/.local/bin/go:ro, or use a --rootfs that has it",
		},
		{
			"nowhere", &shown, "pyhton3",
			[]string{"/usr/bin/pyhton3"},
			unix.ENOENT,
			"no program pyhton3 is in the job's PATH: check the spelling, or use a --rootfs that has it",
		},
		{
			"outside", &shown, "/home/u/q/prog",
			[]string{"/home/u/q/prog"},
			unix.ENOENT,
			"/home/u/q/prog exists outside, but not in the root: show it with --bind /home/u/q/prog:/home/u/q/prog:ro, or start in its directory (-C)",
		},
		{
			"outside, by ..", &shown, "../q/prog",
			[]string{"../q/prog"},
			unix.ENOENT,
			"/home/u/q/prog exists outside, but not in the root: show it with --bind /home/u/q/prog:/home/u/q/prog:ro, or start in its directory (-C)",
		},
		{"inside the directory, not shown", &hidden, "./script", []string{"./script"}, unix.ENOENT, "./script is in the current directory, which is not shown (--cwd)"},
		{
			"by its path outside", &shown, "/home/u/p/script",
			[]string{"/home/u/p/script"},
			unix.ENOENT,
			"the current directory is seen as /work: name the program by its path from here",
		},
		{"no such file", &shown, "./nothing", []string{"./nothing"}, unix.ENOENT, "there is no ./nothing, outside or inside: check the spelling"},
		{"a file as a directory", &shown, "./text/x", []string{"./text/x"}, unix.ENOTDIR, "there is no ./text/x, outside or inside: check the spelling"},
	} {
		var p prog.Program
		p.AddJob(prog.StageLimits, prog.Chdir("/elsewhere"), prog.Call("setsid", 0))
		workdir := Home
		if row.root.Work.Source != "" {
			workdir = WorkDir
		}
		p.AddJob(prog.StageExec, prog.Call("getpid", 0), prog.Chdir(workdir))
		for _, path := range row.tried {
			p.AddJob(prog.StageExec, prog.Call("execve", unix.SYS_EXECVE, prog.Str(path), prog.Strings([]string{row.prog}, ""), prog.Strings(nil, "[]")))
		}
		e := stepErrorOn(noHost, &p, prog.Failure{InJob: true, Stage: prog.StageExec, Index: len(p.Job) - 1, Errno: row.errno})
		general := e.Hint
		require.NotEmpty(t, general, row.name)
		e.explainExecOn(there.host("bin:/usr/local/bin:/home/u/.local/bin"), &p, row.root, row.prog, "/home/u/p")
		if row.want == "" {
			row.want = general
		}
		assert.Equal(t, row.want, e.Hint, row.name)
	}
	// Other stages keep what they have.
	e := &Error{Stage: "root", Op: "mount", Errno: unix.ENOENT, Hint: "kept"}
	e.explainExecOn(there.host(""), &prog.Program{}, &shown, "x", "/")
	assert.Equal(t, "kept", e.Hint)
}

func TestLookAt(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), mode))
	}
	require.NoError(t, os.Mkdir(filepath.Join(root, "dir"), 0o755))
	write("prog", strings.Repeat("#!/bin/sh\n", 1000), 0o755)
	write("plain", "x", 0o644)
	require.NoError(t, os.Symlink("/prog", filepath.Join(root, "dir", "absolute")))
	require.NoError(t, os.Symlink("../../../../../../../../../../../../etc/passwd", filepath.Join(root, "dir", "out")))
	require.NoError(t, os.Symlink("/proc/self/exe", filepath.Join(root, "exe")))
	require.NoError(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o755))

	x := lookAt(root, "/prog")
	assert.True(t, x.found)
	assert.Equal(t, os.FileMode(0o755), x.mode.Perm())
	assert.Len(t, x.head, 4096)
	assert.Equal(t, x, lookAt(root, "/dir/absolute"), "a link is followed inside the root")
	assert.False(t, lookAt(root, "/dir/out").found, "and never leads out of it")
	assert.True(t, lookAt("/", "/etc/passwd").found, "the file it names is there")
	assert.False(t, lookAt(root, "/exe").found)
	assert.False(t, lookAt(root, "/prog/x").found)
	assert.False(t, lookAt(root+"/prog", "x").found)
	assert.Equal(t, "x", lookAt(root, "plain").head)
	assert.True(t, lookAt(root, "/dir").mode.IsDir())
	fifo := lookAt(root, "/fifo") // and does not wait for a writer
	assert.True(t, fifo.found)
	assert.Empty(t, fifo.head)
}

func TestThisHost(t *testing.T) {
	text, ok := thisHost.read("/proc/sys/kernel/ostype")
	assert.True(t, ok)
	assert.Equal(t, "Linux", text)
	_, ok = thisHost.read("/proc/sys/no/such/setting")
	assert.False(t, ok)
	assert.True(t, thisHost.is("kernel/ostype", "Linux"))
	assert.False(t, thisHost.is("kernel/ostype", "linux"))
	assert.True(t, thisHost.look("/", "/bin/sh").found)
	t.Setenv("PATH", "/x:/y")
	assert.Equal(t, "/x:/y", thisHost.path())

	var p prog.Program
	p.AddJob(prog.StageExec, prog.Call("execve", unix.SYS_EXECVE, prog.Str("/bin/no-such"), prog.Strings(nil, "[]"), prog.Strings(nil, "[]")))
	e := stepError(&p, prog.Failure{InJob: true, Stage: prog.StageExec, Errno: unix.ENOENT})
	e.explainExec(&p, &fs.Root{}, "no-such", "/")
	assert.Contains(t, e.Hint, "no program no-such is in the job's PATH")
}

// What may not be read may still be seen. Root may read everything, so an
// unprivileged copy of this test looks.
func TestLookAtUnreadable(t *testing.T) {
	const variable = "JAILRUN_TEST_LOOK"
	if name := os.Getenv(variable); name != "" {
		require.NotZero(t, os.Geteuid())
		x := lookAt("/", name+"/secret")
		fmt.Printf("found %v mode %v head %q; ", x.found, x.mode, x.head)
		x = lookAt("/", name+"/open")
		fmt.Printf("found %v mode %v head %q\n", x.found, x.mode, x.head)
		return
	}
	dir := filepath.Dir(t.TempDir())
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("#!/secret\n"), 0o711))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "open"), []byte("#!/open\n"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(dir, "secret"), 0o711))
	if os.Geteuid() != 0 {
		require.NoError(t, os.Chmod(filepath.Join(dir, "secret"), 0o111))
	}
	c := exec.Command("/proc/self/exe", "-test.run=^TestLookAtUnreadable$")
	c.Env = []string{variable + "=" + dir}
	c.Dir = "/"
	var mode string
	if os.Geteuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
		mode = "-rwx--x--x"
	} else {
		mode = "---x--x--x"
	}
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), `found true mode `+mode+` head ""; found true mode -rwxr-xr-x head "#!/open\n"`)
}

func TestParseELF(t *testing.T) {
	sh, err := filepath.EvalSymlinks("/bin/sh")
	require.NoError(t, err)
	for _, name := range []string{sh, "/proc/self/exe"} {
		f, err := elf.Open(name)
		require.NoError(t, err)
		want := ""
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				b := make([]byte, p.Filesz)
				_, err := p.ReadAt(b, 0)
				require.NoError(t, err)
				want = strings.TrimRight(string(b), "\x00")
			}
		}
		f.Close()
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		loader, machine, ok := parseELF(string(b[:4096]))
		assert.True(t, ok)
		assert.Equal(t, want, loader, name)
		assert.Equal(t, runtime.GOARCH, machine)
	}
	machines := map[uint16]string{3: "386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 8: ""}
	for _, n := range slices.Sorted(maps.Keys(machines)) {
		_, machine, ok := parseELF(elfHead(n, ""))
		assert.True(t, ok)
		assert.Equal(t, machines[n], machine)
	}
	for _, not := range []string{"", "\x7fELF", strings.Repeat("\x00", 100), "#!/bin/sh" + strings.Repeat("\n", 100)} {
		_, _, ok := parseELF(not)
		assert.False(t, ok)
	}
}

func FuzzParseELF(f *testing.F) {
	f.Add(elfHead(62, "/lib64/ld-linux-x86-64.so.2"))
	f.Add(elfHead(62, ""))
	f.Add("\x7fELF\x01\x01" + strings.Repeat("\x03", 120))
	f.Add("\x7fELF\x02\x01" + strings.Repeat("\xff", 120))
	f.Fuzz(func(t *testing.T, head string) {
		loader, _, ok := parseELF(head)
		require.True(t, ok || loader == "")
		require.Contains(t, head, loader)
	})
}
