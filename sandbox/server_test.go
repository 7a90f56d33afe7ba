package sandbox_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// TestServed: a root that the kernel refuses an overlay of, and that is too large
// to be copied, is fuse-overlayfs'. It is one test, for its mounts.
func TestServed(t *testing.T) {
	lane.Require(t, "fuse", "fuse-overlayfs")
	dir, inside := withMounts(t, twoOverlays, func(dir string) {
		over := filepath.Join(dir, "over") // itself in no overlay
		root := filepath.Join(dir, "lower/root")
		smallRoot(t, root)
		copyProgram(t, root, "sleep")
		require.NoError(t, os.WriteFile(filepath.Join(root, "usr/large"), nil, 0o644))
		require.NoError(t, os.Truncate(filepath.Join(root, "usr/large"), 1<<30))
		require.NoError(t, os.MkdirAll(filepath.Join(root, "opt/lent"), 0o755))
		require.NoError(t, unix.Mkfifo(filepath.Join(root, "opt/lent/fifo"), 0o666))
		require.NoError(t, os.MkdirAll(filepath.Join(root, "opt/opaque"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, "opt/opaque/hidden"), nil, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(root, "opt/closed"), []byte("closed\n"), 0))
		require.NoError(t, os.MkdirAll(filepath.Join(over, "opt/opaque"), 0o755))
		require.NoError(t, os.MkdirAll(filepath.Join(over, "opt/pkg"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(over, "opt/pkg/z"), []byte("over\n"), 0o644))
		require.NoError(t, unix.Setxattr(filepath.Join(over, "opt/opaque"), "user.overlay.opaque", []byte("y"), 0))
		require.NoError(t, unix.Mknod(filepath.Join(over, "opt/pkg/a"), unix.S_IFCHR, 0))
	})
	if !inside {
		return
	}
	if os.Getenv("JAILRUN_TEST_SERVED") != "" {
		servedRunner(t, dir)
		return
	}
	s := served{filepath.Join(dir, "two/root"), filepath.Join(dir, "over")}
	before := listing(t, filepath.Join(dir, "lower"), s.over)
	t.Run("facts", s.facts)
	t.Run("layers", s.layers)
	t.Run("lends nothing", s.lends)
	t.Run("files", s.files)
	t.Run("room", s.room)
	t.Run("refusals", s.refusals)
	t.Run("current directory", s.currentDir)
	t.Run("out of reach", s.outOfReach)
	t.Run("dies", s.dies)
	t.Run("stands still", s.standsStill)
	t.Run("limits", s.limits)
	t.Run("crash", func(t *testing.T) { s.crash(t, dir) })
	assert.Equal(t, before, listing(t, filepath.Join(dir, "lower"), s.over), "the layers are as they were")
}

type served struct{ root, over string }

// in is a run with the root.
func (s *served) in(more func(*sandbox.Cmd)) func(*sandbox.Cmd) {
	return func(c *sandbox.Cmd) {
		c.Rootfs = s.root
		if more != nil {
			more(c)
		}
	}
}

// listing is all that there is to know of trees.
func listing(t *testing.T, dirs ...string) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			var st unix.Stat_t
			if err == nil {
				err = unix.Lstat(path, &st)
			}
			fmt.Fprintln(&b, path, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, st.Ctim, st.Nlink)
			return err
		}))
	}
	return b.String()
}

func (s *served) facts(t *testing.T) {
	res, out, errs := shell(t, overlayFacts, s.in(nil))
	assert.Equal(t, 0, *res.ExitCode)
	assert.Equal(t, "O_TMPFILE: Operation not supported\nwrite\n", out, "as overlay before Linux 6.10")
	assert.Empty(t, errs)
	assert.Contains(t, notes(res), "the root is an overlay of fuse-overlayfs 1")
	row := res.Limits[len(res.Limits)-1]
	assert.Equal(t, "overlay_server", row.Name)
}

func (s *served) layers(t *testing.T) {
	res, out, errs := shell(t, "ls /opt/pkg /opt/opaque; cat /opt/closed; stat -c %u:%g /opt/pkg /opt/pkg/z",
		s.in(func(c *sandbox.Cmd) { c.Layers = []string{s.over} }))
	require.Equal(t, 0, *res.ExitCode)
	assert.Equal(t, "/opt/opaque:\n\n/opt/pkg:\nsub\nz\n0:0\n0:0\n", out)
	assert.Contains(t, errs, "/opt/closed: Permission denied", "the server may, the job may not")
}

// lends is row A105: a FIFO of a layer is not the host's.
func (s *served) lends(t *testing.T) {
	fifo := filepath.Join(s.root, "opt/lent/fifo")
	mine, err := os.OpenFile(fifo, os.O_RDWR|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	defer mine.Close()
	res, out, errs := shell(t, `perl -e 'sysopen(F, "/opt/lent/fifo", 04001) or print "$!\n"'; ls /dev`, s.in(nil))
	require.Equal(t, 0, *res.ExitCode, errs)
	assert.Contains(t, out, "No such device or address", "nobody reads there")
	assert.NotContains(t, out, "fuse\n")
	n, err := unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK, 0)
	require.NoError(t, err, "the control: outside somebody does")
	unix.Close(n)
}

func (s *served) files(t *testing.T) {
	out := t.TempDir()
	diff, copied := filepath.Join(out, "diff"), filepath.Join(out, "copied")
	in := filepath.Join(out, "in")
	require.NoError(t, os.WriteFile(in, []byte("brought\n"), 0o644))
	res, _, errs := shell(t, "rm /opt/pkg/a; echo x > /opt/new; cat /opt/in; mkdir /opt/dir; mv /opt/in /opt/dir", s.in(func(c *sandbox.Cmd) {
		c.Diff = diff
		c.CopyIn = []sandbox.CopyIn{{Source: in, Target: "/opt/in"}}
		c.CopyOut = []sandbox.CopyOut{{Source: "/opt/dir", Target: copied}}
	}))
	require.Equal(t, 0, *res.ExitCode, errs)
	text, err := os.ReadFile(diff)
	require.NoError(t, err)
	assert.Equal(t, 5, strings.Count(string(text), "\n"), string(text))
	assert.Contains(t, string(text), `{"path":"/opt/pkg/a","change":"deleted"`)
	assert.Contains(t, string(text), `{"path":"/opt/new","change":"created"`)
	text, err = os.ReadFile(filepath.Join(copied, "in"))
	require.NoError(t, err)
	assert.Equal(t, "brought\n", string(text))
}

// room: a write that finds none fails itself, and not later.
func (s *served) room(t *testing.T) {
	const script = `perl -e 'open(F, ">/opt/f"); for (1..100) { defined syswrite(F, "x" x 65536) or print("$_: $!\n"), exit }; print "all\n"'`
	for disk, want := range map[limits.Size]string{4 * limits.MiB: "No space left on device", 64 * limits.MiB: "all"} {
		res, out, errs := shell(t, script, s.in(func(c *sandbox.Cmd) { c.Limits.Disk = disk }))
		require.Equal(t, 0, *res.ExitCode, errs)
		assert.Contains(t, out, want)
	}
	res, out, _ := shell(t, "i=0; while echo > /opt/$i; do i=$((i+1)); done 2>&1", s.in(func(c *sandbox.Cmd) { c.Limits.Inodes = 200 }))
	assert.Equal(t, 0, *res.ExitCode)
	assert.Contains(t, out, "No space left on device")
}

func (s *served) refusals(t *testing.T) {
	for _, tt := range []struct {
		change func(*sandbox.Cmd)
		err    string
	}{
		{func(c *sandbox.Cmd) { c.Require = []string{sandbox.RequireOverlay} }, "can be none: "},
		{func(c *sandbox.Cmd) { c.ExportLayer = filepath.Join(t.TempDir(), "layer.tar") }, "mount overlay"},
		{func(c *sandbox.Cmd) { c.Upper = filepath.Join(filepath.Dir(s.over), "kept") }, "mount overlay"},
		{func(c *sandbox.Cmd) {
			c.Dir, c.CWD, c.Diff = filepath.Join(s.root, "usr"), sandbox.CWDCopy, filepath.Join(t.TempDir(), "diff")
		}, "nothing can compare them for --diff"},
	} {
		c := sandbox.Command("true")
		c.CWD = sandbox.CWDNone
		s.in(tt.change)(c)
		_, err := c.Run(t.Context())
		require.ErrorContains(t, err, tt.err)
	}
}

func (s *served) currentDir(t *testing.T) {
	res, out, errs := shell(t, "ls; echo new > new; rm -r bin; mkdir bin; ls bin; cat new", func(c *sandbox.Cmd) {
		c.Dir, c.CWD = filepath.Join(s.root, "usr"), sandbox.CWDCopy
	})
	require.Equal(t, 0, *res.ExitCode, errs)
	assert.Equal(t, "bin\nlarge\nnew\n", strings.Replace(out, "lib\n", "", 1))
	assert.Contains(t, notes(res), "the current directory is an overlay of fuse-overlayfs")
}

// ended is what Wait returned.
type ended struct {
	res *sandbox.Result
	err error
}

// start starts a script and waits for its first line. It returns the pid of the
// server as well.
func (s *served) start(t *testing.T, script string, more func(*sandbox.Cmd)) (*sandbox.Cmd, int, chan ended) {
	t.Helper()
	c := sandbox.Command("sh", "-c", script)
	c.CWD = sandbox.CWDNone
	s.in(more)(c)
	out, end, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = out.Close(), end.Close() })
	c.Stdout = end
	require.NoError(t, c.Start(t.Context()))
	init := c.Servers() // no more when Wait has begun
	require.Len(t, init, 1)
	server := serverOf(t, init[0])
	wait := make(chan ended, 1)
	go func() {
		res, err := c.Wait()
		_ = end.Close()
		wait <- ended{res, err}
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "up\n", line)
	return c, server, wait
}

// serverOf is the pid of fuse-overlayfs, whose init has the pid.
func serverOf(t *testing.T, init int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", init, init))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err, string(text))
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	require.NoError(t, err)
	require.Equal(t, "fuse-overlayfs\n", string(comm))
	return pid
}

// outOfReach: the job has the uid of the server, and can neither see nor signal
// it. What it can signal dies; the files are still there.
func (s *served) outOfReach(t *testing.T) {
	c, pid, wait := s.start(t, `for f in /proc/[0-9]*/comm; do read name < $f; test "$name" = fuse-overlayfs && echo seen; done
		test -e /dev/fuse && echo device; ls /proc/self/fd | while read fd; do test $fd -gt 3 && echo "fd $fd"; done
		exec perl -e '$| = 1; kill 9, -1; for (3..300) { kill 9, $_ }; kill 19, -1;
			opendir(D, "/opt/pkg") or print "gone: $!\n"; open(F, ">/opt/more") or print "cannot write\n"; print "up\n"; sleep 1000'`, nil)
	require.NoError(t, unix.Kill(pid, 0), "the control: its uid may signal it")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	assert.Contains(t, string(status), "NoNewPrivs:\t1")
	assert.Contains(t, string(status), "Seccomp:\t2")
	assert.Contains(t, string(status), "CapEff:\t000000000000001b", "CHOWN, DAC_OVERRIDE, FOWNER, FSETID")
	assert.Contains(t, string(status), "CapBnd:\t0000000000000000")
	for _, ns := range []string{"pid", "mnt", "net", "ipc", "uts"} {
		own, err := os.Readlink("/proc/self/ns/" + ns)
		require.NoError(t, err)
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
		require.NoError(t, err)
		assert.NotEqual(t, own, its)
	}
	root, err := os.ReadDir(fmt.Sprintf("/proc/%d/root", pid))
	require.NoError(t, err)
	for _, e := range root {
		assert.Contains(t, []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "proc", "lower", "served"}, e.Name())
	}
	require.NoError(t, c.Signal(unix.SIGTERM))
	end := <-wait
	require.NoError(t, end.err)
	assert.Equal(t, sandbox.Signaled, end.res.Verdict)
}

// dies: without its server the job has no files, which is not its fault.
func (s *served) dies(t *testing.T) {
	_, pid, wait := s.start(t, "echo up; sleep 1000; ls /opt", nil)
	require.NoError(t, unix.Kill(pid, unix.SIGKILL))
	end := <-wait
	require.Error(t, end.err)
	assert.Equal(t, sandbox.ErrorVerdict, end.res.Verdict)
	assert.Contains(t, end.res.Cause, "fuse-overlayfs ended while the job needed it: by signal 9")
}

// standsStill is row A70: a process whose request the server has taken cannot be
// killed, until it has an answer or the connection is gone. The deadline ends the
// job, and init lives to tell how.
func (s *served) standsStill(t *testing.T) {
	var events []string
	in, letGo, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	// A process that waits for a page of its program can be killed: so the
	// programs are not the server's.
	_, stopped, wait := s.start(t, "echo up; read x; echo > new", func(c *sandbox.Cmd) {
		c.Rootfs, c.Dir, c.CWD = "", filepath.Join(s.root, "usr"), sandbox.CWDCopy
		c.Limits.Wall = time.Second
		c.Stdin = in
		c.Trace = func(e sandbox.Event) { events = append(events, e.Text) }
	})
	holdWithRequest(t, stopped, func() { assert.NoError(t, letGo.Close()) })
	end := <-wait
	require.NoError(t, end.err)
	assert.Equal(t, sandbox.WallTime, end.res.Verdict)
	assert.Contains(t, events, "the job does not come to an end; killing fuse-overlayfs")
	assert.NotContains(t, events, "init does not come to an end; killing it")
	require.ErrorIs(t, unix.Kill(stopped, 0), unix.ESRCH)
}

// holdWithRequest stops a server right behind the call in which it takes the next
// request; ask makes that come.
func holdWithRequest(t *testing.T, pid int, ask func()) {
	t.Helper()
	stopped := make(chan error)
	go func() {
		runtime.LockOSThread() // the tracer is a thread, which ends with this goroutine
		next := func(do func() error) error {
			if err := do(); err != nil {
				return err
			}
			_, err := unix.Wait4(pid, nil, unix.WALL, nil)
			return err
		}
		err := unix.PtraceSeize(pid)
		if err == nil {
			err = next(func() error { return unix.PtraceInterrupt(pid) })
		}
		if err == nil { // it begins the call again that was interrupted
			err = next(func() error { return unix.PtraceSyscall(pid, 0) })
		}
		if err == nil {
			ask()
			err = next(func() error { return unix.PtraceSyscall(pid, 0) })
		}
		stopped <- err
		if err == nil { // a tracee is its tracer's to reap first
			_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
		}
	}()
	require.NoError(t, <-stopped)
}

// limits: the tasks of the server are not the job's, under the same uid.
func (s *served) limits(t *testing.T) {
	const script = `n=0; perl -e 'for (1..64) { my $p = fork(); if (!defined $p) { print $_ - 1, "\n"; kill 9, @p; exit } if (!$p) { sleep 1000 } push @p, $p } print "all\n"; kill 9, @p'`
	count := func(change func(*sandbox.Cmd)) string {
		res, out, errs := shell(t, script, func(c *sandbox.Cmd) {
			change(c)
			c.Limits.Pids = 12
		})
		require.Equal(t, 0, *res.ExitCode, errs)
		return out
	}
	assert.Equal(t, count(func(*sandbox.Cmd) {}), count(s.in(nil)), "as many as without a server")
}

// servedRunner is the process that crash kills.
func servedRunner(t *testing.T, dir string) {
	c := sandbox.Command("sh", "-c", "echo up; sleep 1000")
	c.Rootfs, c.CWD = filepath.Join(dir, "two/root"), sandbox.CWDNone
	c.Stdout = os.Stdout
	require.NoError(t, c.Start(t.Context()))
	fmt.Println("server", serverOf(t, c.Servers()[0]))
	_, _ = c.Wait()
}

// crash: with the runner the server goes.
func (s *served) crash(t *testing.T, dir string) {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestServed$", "-test.count=1")
	cmd.Env = append(os.Environ(), "JAILRUN_TEST_SERVED=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	pid, up := 0, false
	for lines := bufio.NewScanner(out); (pid == 0 || !up) && lines.Scan(); {
		up = up || lines.Text() == "up"
		_, _ = fmt.Sscanf(lines.Text(), "server %d", &pid)
	}
	require.NotZero(t, pid)
	fd, err := unix.PidfdOpen(pid, 0)
	require.NoError(t, err, "the control: it is there")
	defer unix.Close(fd)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	assert.True(t, lane.Ended(t, fd))
}

// TestServedBefore66 is a root of the time before Linux 6.6, under a map of several
// ids.
func TestServedBefore66(t *testing.T) {
	lane.Require(t, "fuse", "fuse-overlayfs", "unprivileged", "userns")
	sandbox.WithoutUserXattr(t)
	root := filepath.Join(lane.Scratch(t), "root")
	smallRoot(t, root)
	require.NoError(t, os.WriteFile(filepath.Join(root, "usr/large"), nil, 0o644))
	require.NoError(t, os.Truncate(filepath.Join(root, "usr/large"), 1<<30))
	run := func(t *testing.T, script string, more func(*sandbox.Cmd)) {
		t.Helper()
		res, out, errs := shell(t, script, func(c *sandbox.Cmd) {
			c.Rootfs = root
			more(c)
		})
		require.Equal(t, 0, *res.ExitCode, errs)
		assert.Equal(t, "fuse\n", out, errs)
		assert.Contains(t, notes(res), "the root is an overlay of fuse-overlayfs")
	}
	const kind = `; perl -ne 'print "$2\n" if m{^(\S+) / (\S+)}' /proc/mounts`
	run(t, "rm -r /opt/pkg && mkdir /opt/pkg && echo > /opt/f"+kind, func(*sandbox.Cmd) {})
	t.Run("auto", func(t *testing.T) {
		lane.Require(t, "subid")
		run(t, "echo mine > /tmp/f && test $(stat -c %u:%g /tmp/f) = 1000:1000 && chmod 700 /tmp/f && ! touch /opt/x 2>/dev/null"+kind,
			func(c *sandbox.Cmd) { c.Map.Mode = "auto" })
		run(t, "rm -r /opt/pkg && mkdir /opt/pkg && echo > /tmp/f && chown 7:8 /tmp/f && test $(stat -c %u:%g /tmp/f) = 7:8"+kind,
			func(c *sandbox.Cmd) { c.Map.Mode, c.User = "auto", "0" })
	})
}
