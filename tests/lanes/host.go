package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm"
)

// hostLane is the lane that is this machine.
const hostLane = "host"

// host runs jobs on this machine, never as root.
type host struct{}

func (host) Close() error { return nil }

func (host) Kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return unix.ByteSliceToString(u.Release[:])
}

func (host) Run(ctx context.Context, job vm.Job) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, job.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, job.Argv[0], job.Argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = job.Dir, job.Stdout, job.Stderr
	cmd.Env = append(os.Environ(), job.Env...)
	cmd.WaitDelay = time.Second
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
		home, err := os.MkdirTemp("", "jailrun-home-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(home)
		if err := os.Chown(home, 65533, 65533); err != nil {
			return 0, err
		}
		cmd.Env = append(cmd.Env, "HOME="+home, "XDG_RUNTIME_DIR=", "DBUS_SESSION_BUS_ADDRESS=")
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return exit.ExitCode(), nil
	}
	return 0, err
}
