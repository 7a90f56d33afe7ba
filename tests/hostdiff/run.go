package hostdiff

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
)

// A Run is one call of jailrun that has ended.
type Run struct {
	Code           int // exit code, -1 if a signal ended it
	Stdout, Stderr string
	Result         *sandbox.Result // nil if it was not written
}

// Patience is after how long a test gives up on a run that should end.
const Patience = 2 * time.Minute

// Jailrun prepares a call of jailrun under an identity: its flags, then the
// program. -q keeps the notes of this host out of stderr.
func (a *Arena) Jailrun(ctx context.Context, id Identity, args ...string) *exec.Cmd {
	first := []string{"run", "-q"}
	if id == Auto {
		first = append(first, "--map", "auto")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(a.Bin, "jailrun"), append(first, args...)...)
	a.As(cmd, id)
	return cmd
}

// As makes cmd run as the caller that an identity stands for.
func (a *Arena) As(cmd *exec.Cmd, id Identity) {
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + a.Home, "TMPDIR=" + a.Home, "LANG=C.UTF-8"}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if a.root && id != Block {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.UID)}
	}
}

// Do runs jailrun to its end and reads its result. cmd's streams may be set.
func (a *Arena) Do(t *testing.T, cmd *exec.Cmd) Run {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := 3 + len(cmd.ExtraFiles)
	cmd.ExtraFiles = append(cmd.ExtraFiles, w)
	cmd.Args = append([]string{cmd.Args[0], cmd.Args[1], "--result", "fd:" + strconv.Itoa(fd)}, cmd.Args[2:]...)
	var out, errs bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &errs
	}
	if err := cmd.Start(); err != nil {
		w.Close()
		t.Fatal(err)
	}
	a.Ran(cmd.Process.Pid)
	w.Close()
	text, _ := io.ReadAll(r)
	err = cmd.Wait()
	exit, exited := errors.AsType[*exec.ExitError](err)
	if err != nil && !exited {
		t.Fatal(err)
	}
	run := Run{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errs.String()}
	if exited && exit.Sys().(syscall.WaitStatus).Signaled() {
		run.Code = -1
	}
	if len(text) > 0 {
		run.Result = &sandbox.Result{}
		if err := json.Unmarshal(text, run.Result); err != nil {
			t.Fatalf("the result is no JSON: %v\n%q", err, text)
		}
	}
	return run
}

// Run runs jailrun with the attack program as /attack, and asserts that the
// host looks as before.
func (a *Arena) Run(t *testing.T, id Identity, flags []string, program ...string) Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	before := a.Take(t)
	run := a.Do(t, a.Jailrun(ctx, id, a.With(flags, program...)...))
	a.AssertSame(t, before)
	if ctx.Err() != nil {
		t.Fatalf("jailrun %q did not end", program)
	}
	return run
}

// With puts together flags, the bind of the attack program, and the command.
func (a *Arena) With(flags []string, program ...string) []string {
	args := []string{"--bind", a.Attack() + ":/attack"}
	if !strings.Contains(strings.Join(flags, " "), "--cwd") {
		args = append(args, "--cwd", "none")
	}
	args = append(args, flags...)
	return append(append(args, "--"), program...)
}

// Attack is the attack program outside.
func (a *Arena) Attack() string { return filepath.Join(a.Bin, "jailrun-selftest") }

// Outside runs the attack program as an ordinary process, which the controls
// need; flags are further clone flags.
func (a *Arena) Outside(t *testing.T, id Identity, flags uintptr, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, a.Attack(), args...)
	a.As(cmd, id)
	cmd.SysProcAttr.Setsid = true // as a job is; a session is what has an autogroup to write to
	if flags != 0 {
		uid := os.Geteuid()
		if cmd.SysProcAttr.Credential != nil {
			uid = a.UID
		}
		cmd.SysProcAttr.Cloneflags = flags
		if flags&unix.CLONE_NEWUSER != 0 {
			cmd.SysProcAttr.Credential = nil
			one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
			cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = one, one
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true}
		}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
