package sandbox

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// noHost shows nothing, so that no hint depends on this machine.
var noHost = host{
	read: func(string) (string, bool) { return "", false },
	look: func(string, string) executable { return executable{} },
	path: func() string { return "" },
}

func TestErrorText(t *testing.T) {
	eperm := &os.PathError{Op: "open", Path: "/dev/null", Err: unix.EPERM}
	for _, row := range []struct {
		err  *Error
		want string
	}{
		{&Error{Stage: "root", Op: "mount", Path: "/usr", Errno: unix.EPERM}, "root: mount /usr: operation not permitted"},
		{&Error{Stage: "clone", Op: "clone3", Errno: unix.EAGAIN}, "clone: clone3: resource temporarily unavailable"},
		{&Error{Stage: "root", Op: "open", Path: "/dev/null", Errno: unix.EPERM, Err: eperm}, "root: open /dev/null: operation not permitted"},
		{&Error{Stage: "root", Op: "mount", Path: "/usr", Errno: unix.EPERM, Err: errors.New("other words")}, "root: mount /usr: operation not permitted"},
		{&Error{Stage: "spec", Err: errors.New("no program given")}, "spec: no program given"},
		{&Error{Stage: "run", Op: "poll", Err: errors.New("why")}, "run: poll: why"},
		{&Error{Stage: "run", Path: "/x"}, "run: /x: failed"},
		{&Error{Stage: "run"}, "run: failed"},
		{&Error{Stage: "run", Errno: unix.EIO}, "run: input/output error"},
		{&Error{Stage: "run", Err: errors.Join(errors.New("a"), errors.New("b"))}, "run: a; b"},
		{&Error{Stage: "root", Op: "open", Path: "/a\nb\x1b[2J\u202e\xff", Errno: unix.ENOENT}, `root: open /a\nb\x1b[2J\u202e\xff: no such file or directory`},
		{func() *Error {
			target := &Error{}
			_ = errors.As(bug(errors.New("slot 7 is bound twice")), &target)
			return target
		}(), "bug: slot 7 is bound twice, please report"},
	} {
		assert.EqualError(t, row.err, row.want)
	}
}

func TestErrorIs(t *testing.T) {
	var inside error = &Error{Stage: "proc", Op: "mount proc", Path: "/proc", Errno: unix.EPERM}
	assert.ErrorIs(t, inside, unix.EPERM)
	assert.ErrorIs(t, inside, iofs.ErrPermission)
	assert.NotErrorIs(t, inside, unix.EACCES)
	assert.NotErrorIs(t, inside, iofs.ErrNotExist)
	assert.ErrorIs(t, fmt.Errorf("outer: %w", inside), unix.EPERM)

	var none error = &Error{Stage: "spec", Err: context.Canceled}
	assert.ErrorIs(t, none, context.Canceled)
	assert.NotErrorIs(t, none, unix.Errno(0))
}

func TestWrap(t *testing.T) {
	assert.Nil(t, wrap("root", nil))
	own := &Error{Stage: "root", Op: "mount", Errno: unix.EPERM}
	assert.Same(t, own, wrap("run", own))
	assert.Same(t, own, wrap("run", fmt.Errorf("again: %w", own)))

	for _, row := range []struct {
		name     string
		err      error
		op, path string
		errno    unix.Errno
		text     string
	}{
		{
			"path", &os.PathError{Op: "open", Path: "/etc/subuid", Err: unix.EACCES}, "open", "/etc/subuid", unix.EACCES,
			"s: open /etc/subuid: permission denied",
		},
		{
			"path with the value refused", fmt.Errorf("group: %w", &os.PathError{Op: `write "max" to`, Path: "/g/memory.max", Err: unix.EINVAL}),
			`write "max" to`, "/g/memory.max", unix.EINVAL, `s: group: write "max" to /g/memory.max: invalid argument`,
		},
		{"system call", os.NewSyscallError("clone3", unix.ENOSPC), "clone3", "", unix.ENOSPC, "s: clone3: no space left on device"},
		{"link", &os.LinkError{Op: "rename", Old: "/a", New: "/b", Err: unix.EXDEV}, "rename", "/a", unix.EXDEV, "s: rename /a /b: invalid cross-device link"},
		{
			"exec", &exec.Error{Name: "newuidmap", Err: exec.ErrNotFound}, "exec", "newuidmap", 0,
			`s: exec newuidmap: exec: "newuidmap": executable file not found in $PATH`,
		},
		{"errno alone", unix.ENOMEM, "", "", unix.ENOMEM, "s: cannot allocate memory"},
		{"words", errors.New("no"), "", "", 0, "s: no"},
		{"sentinel", fmt.Errorf("own cgroup: %w", limits.ErrNotDelegated), "", "", 0, "s: own cgroup: no cgroup v2 subtree is delegated"},
		{
			"joined", errors.Join(errors.New("first"), &os.PathError{Op: "mkdir", Path: "/g", Err: unix.EROFS}), "mkdir", "/g", unix.EROFS,
			"s: first; mkdir /g: read-only file system",
		},
	} {
		e := wrapOn(noHost, "s", row.err)
		assert.Equal(t, "s", e.Stage, row.name)
		assert.Equal(t, row.op, e.Op, row.name)
		assert.Equal(t, row.path, e.Path, row.name)
		assert.Equal(t, row.errno, e.Errno, row.name)
		assert.EqualError(t, e, row.text, row.name)
		assert.ErrorIs(t, e, row.err, row.name)
	}
}

func TestStepError(t *testing.T) {
	var p prog.Program
	file, procs, gate := p.Slot("sysctl"), p.Slot("job-procs"), p.Slot("gate-of-job")
	p.AddInit(prog.StageRoot,
		prog.Mount("overlay", "/work", "overlay", unix.MS_NOSUID, "MS_NOSUID", "lowerdir=."),
		prog.Mount("/home/u/x y", "/data", "", unix.MS_BIND, "MS_BIND", ""),
		prog.Call("sethostname", unix.SYS_SETHOSTNAME, prog.Str("jail"), prog.Int(4)),
		prog.Mkdir("etc", 0o755).Because("a note"),
		prog.Unshare(unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"),
		prog.Open("/proc/self/uid_map", unix.O_WRONLY, "O_WRONLY", 0, file),
		prog.Write(file, []byte("0 0 1"), `"0 0 1"`),
		prog.Fork(),
	)
	p.AddJob(prog.StageLimits,
		prog.Open("/proc/sys/user/max_user_namespaces", unix.O_WRONLY, "O_WRONLY", 0, file),
		prog.Write(file, []byte("0"), "0"),
		prog.Write(procs, []byte("0"), `"0"`),
		prog.SetLimit(unix.RLIMIT_NPROC, "RLIMIT_NPROC", unix.Rlimit{Cur: 1, Max: 1}),
		prog.Prctl(unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS", prog.Int(1)),
		prog.Prctl(unix.PR_SET_NAME, "PR_SET_NAME", prog.Strings([]string{"secret/path"}, "…")),
		prog.Call("read", unix.SYS_READ, prog.Fd(gate), prog.Data(nil, "gate"), prog.Int(8)),
	)
	p.AddJob(prog.StageExec,
		prog.Call("execve", unix.SYS_EXECVE, prog.Str("/usr/bin/gcc"), prog.Strings([]string{"gcc", "/etc"}, ""), prog.Strings(nil, "[PATH=…]")).Search(),
		prog.Call("execve", unix.SYS_EXECVE, prog.Str("/bin/gcc"), prog.Strings([]string{"gcc"}, ""), prog.Strings(nil, "[PATH=…]")),
		prog.Chdir("/"+strings.Repeat("d", 300)),
	)
	for _, row := range []struct {
		inJob    bool
		index    int
		op, path string
		text     string
	}{
		{false, 0, "mount overlay", "/work", "root: mount overlay /work: operation not permitted"},
		{false, 1, "mount", "/home/u/x y", "root: mount /home/u/x y: operation not permitted"},
		{false, 2, "sethostname jail", "", "root: sethostname jail: operation not permitted"},
		{false, 3, "mkdirat etc", "", "root: mkdirat etc: operation not permitted"},
		{false, 4, "unshare CLONE_NEWCGROUP", "", "root: unshare CLONE_NEWCGROUP: operation not permitted"},
		{false, 5, "openat", "/proc/self/uid_map", "root: openat /proc/self/uid_map: operation not permitted"},
		{false, 6, "write", "/proc/self/uid_map", "root: write /proc/self/uid_map: operation not permitted"},
		{false, 7, "fork-job", "", "root: fork-job(): operation not permitted"},
		{true, 1, "write", "/proc/sys/user/max_user_namespaces", "limits: write /proc/sys/user/max_user_namespaces: operation not permitted"},
		{true, 2, "write job-procs", "", "limits: write job-procs: operation not permitted"},
		{true, 3, "prlimit64 RLIMIT_NPROC", "", "limits: prlimit64 RLIMIT_NPROC: operation not permitted"},
		{true, 4, "prctl PR_SET_NO_NEW_PRIVS", "", "limits: prctl PR_SET_NO_NEW_PRIVS: operation not permitted"},
		{true, 5, "prctl PR_SET_NAME", "", "limits: prctl PR_SET_NAME: operation not permitted"},
		{true, 6, "read gate-of-job", "", "limits: read gate-of-job: operation not permitted"},
		{true, 7, "execve", "/usr/bin/gcc", "exec: execve /usr/bin/gcc: operation not permitted"},
		{true, 8, "execve", "gcc", "exec: execve gcc: operation not permitted"},
		{true, 9, "chdir", "/" + strings.Repeat("d", 199) + "…", "exec: chdir /" + strings.Repeat("d", 199) + "…: operation not permitted"},
	} {
		e := stepErrorOn(noHost, &p, prog.Failure{InJob: row.inJob, Index: row.index, Errno: unix.EPERM})
		assert.Equal(t, row.op, e.Op)
		assert.Equal(t, row.path, e.Path)
		assert.EqualError(t, e, row.text)
		assert.ErrorIs(t, e, unix.EPERM)
		assert.NotContains(t, e.report(false).Text, "secret")
	}
	e := stepErrorOn(noHost, &p, prog.Failure{Index: 3, Errno: unix.EEXIST})
	assert.Equal(t, `root: mkdirat etc: file exists (step 3 of init: mkdirat(AT_FDCWD, "etc", 0755))`, e.report(false).Text)

	for _, f := range []prog.Failure{{Index: 99, Errno: unix.EPERM}, {InJob: true, Index: -1, Errno: unix.EPERM}} {
		assert.Equal(t, "bug", stepErrorOn(noHost, &p, f).Stage)
	}
	assert.Equal(t, "bug", stepErrorOn(noHost, &prog.Program{}, prog.Failure{InJob: true, Errno: unix.EPERM}).Stage)
}

// Every step of a real root has an error that says with what it failed.
func TestStepErrorOfRoot(t *testing.T) {
	var p prog.Program
	root := fs.Root{
		Host: fs.Host{Base: "/tmp", Trees: []fs.Entry{{Name: "usr", Dir: true}, {Name: "bin", Link: "usr/bin"}}, Masks: []fs.Mask{{Name: "kcore"}}},
		Size: 1 << 20, Inodes: 1024, Home: Home, Work: fs.Mount{Source: "/home/u/p", Target: WorkDir, Dir: true, Mode: fs.Copy},
	}
	root.Append(&p)
	require.Greater(t, len(p.Init), 20)
	for i := range p.Init {
		e := stepErrorOn(noHost, &p, prog.Failure{Index: i, Errno: unix.EIO})
		assert.NotContains(t, e.Error(), "\n")
		assert.True(t, strings.HasSuffix(e.Error(), ": input/output error"), e.Error())
	}
}

func TestReport(t *testing.T) {
	e := &Error{Stage: "root", Op: "mount", Path: "/a\x00b", Errno: unix.EPERM, Hint: "look\nhere", Err: errors.New("x")}
	r := e.report(true)
	assert.Equal(t, &ErrorReport{
		Stage: "root", Op: "mount", Path: `/a\x00b`, Errno: "EPERM", Hint: `look\nhere`,
		Text: `root: mount /a\x00b: operation not permitted`, JobStarted: true,
	}, r)
	assert.Empty(t, (&Error{Stage: "x"}).report(false).Errno)
	assert.Equal(t, "4000", (&Error{Stage: "x", Errno: 4000}).report(false).Errno)
}

func FuzzErrorText(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b[2J", "\xff", "\u202e", strings.Repeat("漢", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := printable(s)
		require.LessOrEqual(t, len(p), 1024)
		require.Equal(t, p, printable(p))
		text := (&Error{Stage: s, Op: s, Path: s, Err: errors.New(s)}).Error()
		require.True(t, utf8.ValidString(text))
		require.NotContains(t, text, "\n")
		require.NotContains(t, text, "\x1b")
	})
}
