package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// directRunner starts jobs straight from pid 1, in the delegated group.
type directRunner struct {
	user   wire.User
	groups *delegation
}

func (d *directRunner) run(req wire.RunRequest, files [3]*os.File) (wire.ExitInfo, error) {
	return runIn(d.groups.scope, d.user, userEnv(d.user), req, files)
}

// runIn runs a job as the user, from its first instruction on in a group that may be root's, and waits for it.
func runIn(dir string, u wire.User, env []string, req wire.RunRequest, files [3]*os.File) (wire.ExitInfo, error) {
	group, err := os.Open(dir)
	if err != nil {
		return wire.ExitInfo{}, err
	}
	defer group.Close()
	argv0, err := exec.LookPath(req.Argv[0])
	if err != nil {
		return startFailure(err), nil
	}
	if req.Dir == "" {
		req.Dir = u.Home()
	}
	pid, _, err := syscall.StartProcess(argv0, req.Argv, &syscall.ProcAttr{
		Dir: req.Dir, Env: append(env, req.Env...),
		Files: []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()},
		Sys: &syscall.SysProcAttr{
			Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd()),
			Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)},
		},
	})
	if err != nil {
		return startFailure(&os.PathError{Op: "start", Path: argv0, Err: err}), nil
	}
	return wait(pid)
}

func (d *directRunner) finish() error {
	defer reapRest()
	if d.groups.shape != wire.ShapeCgroupReadOnly {
		return d.groups.fresh()
	}
	return errors.Join(remount(cgroupRoot, false), d.groups.fresh(), remount(cgroupRoot, true))
}

// startFailure has the shell's exit code for a command that could not be started.
func startFailure(err error) wire.ExitInfo {
	code := 126
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		code = 127
	}
	return wire.ExitInfo{Code: code, Err: err.Error()}
}

// wait waits for pid and reaps every orphan on the way: this is pid 1, and zombies that nobody reaps would count
// against the limits of the tests.
func wait(pid int) (wire.ExitInfo, error) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return wire.ExitInfo{}, os.NewSyscallError("wait4", err)
		}
		if got != pid {
			continue
		}
		if ws.Signaled() {
			return wire.ExitInfo{Code: 128 + int(ws.Signal()), Signal: int(ws.Signal())}, nil
		}
		return wire.ExitInfo{Code: ws.ExitStatus()}, nil
	}
}

// reapRest reaps what has ended until then.
func reapRest() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
			return
		}
	}
}

// userEnv is the environment of a login.
func userEnv(u wire.User) []string {
	return []string{
		"PATH=" + wire.Path, "HOME=" + u.Home(), "USER=" + u.Name, "LOGNAME=" + u.Name, "SHELL=/bin/sh", "LANG=C.UTF-8",
		"XDG_RUNTIME_DIR=" + runtimeDir(u),
	}
}

func runtimeDir(u wire.User) string { return filepath.Join("/run/user", strconv.Itoa(u.UID)) }
