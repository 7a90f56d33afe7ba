package attacks

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/hostdiff"
	"github.com/jailrun/jailrun/tests/lane"
)

// give gives paths to the ordinary user.
func give(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if hostdiff.Here.Root() {
			require.NoError(t, os.Lchown(path, hostdiff.Here.UID, hostdiff.Here.UID))
		}
	}
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
	give(t, path)
	return path
}

// TestStdin is A01: the file behind standard input stays as it is.
func TestStdin(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		file := writeFile(t, filepath.Join(here.Dir(t), "input"), "precious\n")
		for _, flags := range [][]string{{"--stdin", file}, nil} {
			in, err := os.Open(file)
			require.NoError(t, err)
			before := here.Take(t)
			cmd := here.Jailrun(t.Context(), id, here.With(flags, "/attack", "abuse", "stdin")...)
			cmd.Stdin = in
			run := here.Do(t, cmd)
			in.Close()
			assert.Contains(t, run.Stdout, "tried", run.Stderr)
			here.AssertSame(t, before)
		}
		in, err := os.Open(file)
		require.NoError(t, err)
		defer in.Close()
		control := exec.Command(here.Attack(), "abuse", "stdin")
		here.As(control, id)
		control.Stdin = in
		require.NoError(t, control.Run())
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, string(text), "precious", "the control: outside it is overwritten")
	})
}

// TestDescriptors is A02 and F19: what the caller left open does not come in.
func TestDescriptors(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	dir, err := os.Open("/")
	require.NoError(t, err)
	defer dir.Close()
	leak := func(cmd *exec.Cmd) {
		for range 200 {
			cmd.ExtraFiles = append(cmd.ExtraFiles, dir)
		}
	}
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		for _, profile := range profiles() {
			cmd := here.Jailrun(t.Context(), id, here.With([]string{"--seccomp", profile}, "/attack", "abuse", "fds")...)
			leak(cmd)
			run := here.Do(t, cmd)
			assert.Equal(t, "0 1 2\n", run.Stdout, run.Stderr)
		}
		control := exec.Command(here.Attack(), "abuse", "fds")
		here.As(control, id)
		leak(control)
		out, err := control.Output()
		require.NoError(t, err)
		assert.Contains(t, string(out), " 150 ", "the control: outside they are there")
	})
}

// TestWorkdir is A03: no working directory by way of a descriptor.
func TestWorkdir(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		root := smallRoot(t)
		for _, fd := range []string{"3", "7", "9", "12"} {
			require.NoError(t, os.Symlink("/proc/self/fd/"+fd, filepath.Join(root, "link"+fd)))
			for _, flags := range [][]string{{"--workdir", "/proc/self/fd/" + fd}, {"--rootfs", root, "--workdir", "/link" + fd}} {
				run := here.Run(t, id, append(flags, "--wall", "20"), "/attack", "abuse", "see")
				assert.Equal(t, 125, run.Code, "%v: %s", flags, run.Stderr)
				assert.Empty(t, run.Stdout)
			}
		}
		run := here.Run(t, id, []string{"--rootfs", root, "--workdir", "/tmp"}, "/attack", "abuse", "see")
		assert.Equal(t, 0, run.Code, "the control: %s", run.Stderr)
	})
}

// smallRoot makes a root with nothing but directories.
func smallRoot(t *testing.T) string {
	t.Helper()
	root := hostdiff.Here.Dir(t)
	for _, name := range []string{"bin", "dev", "proc", "tmp", "etc", "sys"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, name), 0o755))
		give(t, filepath.Join(root, name))
	}
	return root
}

// TestOwnProgram is A04: jailrun's binary belongs to the caller, the job makes
// it its own program and tries to write it, again and again.
func TestOwnProgram(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		dir := here.Dir(t)
		text, err := os.ReadFile(filepath.Join(here.Bin, "jailrun"))
		require.NoError(t, err)
		mine := writeFile(t, filepath.Join(dir, "jailrun"), string(text))
		script := writeFile(t, filepath.Join(dir, "script"), "#!/proc/self/exe\n")
		link := filepath.Join(dir, "link")
		require.NoError(t, os.Symlink("/proc/self/exe", link))
		shell := `/attack abuse write-exe & /proc/self/exe -c :; ` + "exec -a x " + `/script; wait`
		for _, program := range [][]string{
			{"/proc/self/exe", "version"}, {"/script"}, {"/dir/link"}, {"/bin/bash", "-c", shell}, {"/attack", "abuse", "write-exe"},
		} {
			before := here.Take(t)
			cmd := here.Jailrun(t.Context(), id, "--cwd", "none", "--wall", "20", "--bind", here.Attack()+":/attack",
				"--bind", script+":/script", "--bind", dir+":/dir", "--")
			cmd.Path = mine
			cmd.Args = append(cmd.Args, program...)
			run := here.Do(t, cmd)
			assert.NotContains(t, strings.ReplaceAll(run.Stdout, "not opened", ""), "opened", "%v", program)
			if program[0] != "/bin/bash" && program[0] != "/attack" {
				assert.Equal(t, 126, run.Code, "%v: it is not the job's program, be it named or found: %s", program, run.Stdout)
			}
			here.AssertSame(t, before)
		}
		control := exec.Command("/proc/self/fd/3", "version")
		here.As(control, id)
		file, err := os.Open(mine)
		require.NoError(t, err)
		defer file.Close()
		control.ExtraFiles = []*os.File{file}
		out, err := control.CombinedOutput()
		assert.NoError(t, err, "the control: outside it runs by such a path: %s", out)
	})
}

// TestOwnProgramIsNotTheJobs is what can be tried of A05: no process that a job
// sees runs jailrun's file, so that neither a write nor a hole in the kernel
// by which a page that can be read can be written has it before it; and what
// the job runs itself lies on a mount that is read-only.
func TestOwnProgramIsNotTheJobs(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	var st unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(here.Bin, "jailrun"), &st))
	ours := fmt.Sprintf(" %d:%d\n", st.Dev, st.Ino)
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		run := here.Run(t, id, nil, "/attack", "abuse", "exes", "own")
		assert.Equal(t, 0, run.Code, run.Stderr)
		assert.Contains(t, run.Stdout, "1 EACCES\n", "init")
		assert.NotContains(t, run.Stdout, ours)
		assert.Regexp(t, `(?m)^own (EACCES|EROFS|ETXTBSY) EROFS$`, run.Stdout)

		before := here.Take(t)
		runner := here.Jailrun(t.Context(), id, here.With([]string{"--wall", "60"}, "/bin/sh", "-c", "echo runs; read x; :")...)
		in, err := runner.StdinPipe()
		require.NoError(t, err)
		said, err := runner.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, runner.Start())
		here.Ran(runner.Process.Pid)
		_, err = io.ReadFull(said, make([]byte, 5))
		assert.NoError(t, err)
		out, err := here.Outside(t, id, 0, "abuse", "exes")
		assert.NoError(t, err, out)
		assert.Contains(t, out, ours, "the control: outside a runner is seen")
		in.Close()
		assert.NoError(t, runner.Wait())
		here.AssertSame(t, before) // what holds a namespace goes a moment later
	})
}

// TestSetuidPrograms is A17: a set-user-ID program gives no right inside.
func TestSetuidPrograms(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	if !here.Root() {
		t.Skip("it takes root to make a set-user-ID program of another user's")
	}
	dir := here.Dir(t)
	text, err := os.ReadFile(here.Attack())
	require.NoError(t, err)
	suid := filepath.Join(dir, "suid")
	require.NoError(t, os.WriteFile(suid, text, 0o755))
	require.NoError(t, os.Chmod(suid, 0o4755|os.ModeSetuid))
	out := exec.Command(suid, "abuse", "euid")
	here.As(out, hostdiff.Self)
	control, err := out.Output()
	require.NoError(t, err)
	require.Equal(t, "0\n", string(control), "the control: outside it makes root")
	for _, id := range []hostdiff.Identity{hostdiff.Self, hostdiff.Block} {
		run := here.Run(t, id, []string{"--user", "7", "--bind", suid + ":/suid"}, "/suid", "abuse", "euid")
		assert.Equal(t, "7\n", run.Stdout, run.Stderr)
	}
}

// TestNothingForTheNext is A19 and A46: what one job leaves, everywhere it
// can, no other job finds, nor the host.
func TestNothingForTheNext(t *testing.T) {
	needs(t)
	lane.Require(t, "tmpfs-upper")
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		dir := here.Dir(t)
		flags := []string{"-C", dir, "--cwd", "cow"}
		run := here.Run(t, id, flags, "/attack", "abuse", "leave")
		assert.Contains(t, run.Stdout, "shm worked", "the control: it can leave something")
		assert.NotContains(t, run.Stdout, "left 0\n", "the control: it can leave something")
		run = here.Run(t, id, flags, "/attack", "abuse", "found")
		assert.Contains(t, run.Stdout, "found 0\n")
		assert.Contains(t, run.Stdout, "shm ENOENT\nsem ENOENT\nmsg ENOENT\nmq ENOENT\n")
	})
}

// TestOverlayMarks is A20: the marks of overlays that a job writes lead nowhere.
func TestOverlayMarks(t *testing.T) {
	needs(t)
	lane.Require(t, "tmpfs-upper")
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		dir := here.Dir(t)
		require.NoError(t, os.Mkdir(filepath.Join(dir, "dir"), 0o755))
		give(t, filepath.Join(dir, "dir"))
		writeFile(t, filepath.Join(dir, "file"), "x")
		writeFile(t, filepath.Join(dir, "dir", "old"), "x")
		for range 2 {
			run := here.Run(t, id, []string{"-C", dir, "--cwd", "cow", "--user", "0"}, "/attack", "abuse", "attrs")
			assert.Equal(t, "passwd ENOENT old ENOENT\n", run.Stdout, run.Stderr)
		}
	})
}

// TestNames is A23 and A96: names with every kind of byte do no harm, in paths
// of the host nor in the result.
func TestNames(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		for _, name := range []string{"new\nline", "esc\x1b[2J\x1b]0;title\a", "\xff\xfe", strings.Repeat("n", 255), "-rf", "a:b", "a,b=c", `a\b\054`, `"'$(x)`, " ", "lowerdir=x"} {
			dir := filepath.Join(here.Dir(t), name)
			require.NoError(t, os.Mkdir(dir, 0o755))
			give(t, dir)
			writeFile(t, filepath.Join(dir, "mark"), "here")
			for _, cwd := range []string{"ro", "cow"} {
				if cwd == "cow" && !lane.Has("tmpfs-upper").Yes {
					continue
				}
				run := here.Run(t, id, []string{"-C", dir, "--cwd", cwd}, "/bin/sh", "-c", `cat mark; echo "$1" >&2`, "sh", name)
				assert.Equal(t, "here", run.Stdout, "%q %s: %s", name, cwd, run.Stderr)
				require.NotNil(t, run.Result, "%q: its JSON is valid", name)
				assert.Equal(t, sandbox.Exited, run.Result.Verdict)
			}
		}
	})
}

// TestStreamFlags is A67: what a job does to its streams does nothing to those
// of the caller.
func TestStreamFlags(t *testing.T) {
	needs(t)
	here := hostdiff.Here
	here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		path := writeFile(t, filepath.Join(here.Dir(t), "out"), "kept\n")
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		defer file.Close()
		r, w, err := os.Pipe()
		require.NoError(t, err)
		defer r.Close()
		defer w.Close()
		state := func() string {
			var b bytes.Buffer
			for _, f := range []*os.File{file, w} {
				flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
				require.NoError(t, err)
				size, _ := unix.FcntlInt(f.Fd(), unix.F_GETPIPE_SZ, 0)
				var st unix.Stat_t
				require.NoError(t, unix.Fstat(int(f.Fd()), &st))
				b.WriteString(strings.Join([]string{f.Name(), hex(flags), hex(size), hex(int(st.Mode)), hex(int(st.Size))}, " "))
			}
			return b.String()
		}
		before := state()
		cmd := here.Jailrun(t.Context(), id, here.With(nil, "/attack", "abuse", "flags")...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, w
		run := here.Do(t, cmd)
		assert.Equal(t, 0, run.Code)
		assert.Equal(t, before, state())

		control := exec.Command(here.Attack(), "abuse", "flags")
		here.As(control, id)
		control.Stdin, control.Stdout, control.Stderr = file, file, w
		require.NoError(t, control.Run())
		assert.NotEqual(t, before, state(), "the control: without jailrun it does")
	})
}

func hex(n int) string { return strconv.FormatInt(int64(n), 16) }
