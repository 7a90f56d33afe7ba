package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// sessionRunner runs each job in a session of the user that logind made, as sshd does: in a session scope of
// user-UID.slice, which is root's. Delegation has to come from the user's own manager.
//
// The session belongs to a service with PAM that only sleeps; the job is a child of the agent and joins its group with
// its environment. A job as the service itself would have a child that it did not start, systemd's "(sd-pam)".
//
// In shape no-bus the service has no PAM, so there is neither a session nor a manager, as under cron or su.
type sessionRunner struct {
	user  wire.User
	shape string
	n     int
	group string // of the last job
}

func (r *sessionRunner) run(req wire.RunRequest, files [3]*os.File) (wire.ExitInfo, error) {
	if err := r.freshManager(); err != nil {
		return wire.ExitInfo{}, err
	}
	env, err := r.openSession()
	if err != nil {
		return wire.ExitInfo{}, fmt.Errorf("session: %w", err)
	}
	return runIn(r.group, r.user, env, req, files)
}

// openSession starts the service, sets group and returns the environment of a login. The service says its pid and
// its environment when its session is open, through a pipe that systemd opens by name. (Type=exec would be the way, but its start never ends
// in User Mode Linux when PAM has moved the process to another group.)
func (r *sessionRunner) openSession() ([]string, error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	r.n++
	unit := "vm-session-" + strconv.Itoa(r.n) + ".service"
	text := fmt.Sprintf("[Unit]\nCollectMode=inactive-or-failed\n[Service]\nSuccessExitStatus=SIGKILL\nUser=%s\n"+
		"StandardOutput=file:/proc/%d/fd/%d\nExecStart=/bin/sh -c 'echo $$$$; cat /proc/$$$$/environ; echo; exec sleep infinity'\n", r.user.Name, os.Getpid(), out.Fd())
	if r.shape != wire.ShapeNoBus {
		text += "PAMName=vm-session\n"
	}
	err = os.WriteFile(filepath.Join(units, unit), []byte(text), 0o644)
	if err == nil {
		err = exec.Command("systemctl", "start", "--quiet", unit).Run()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", unit, err), out.Close())
	}
	said := bufio.NewReader(in) // a service that fails and says nothing leaves it to the job's time limit
	pid, err1 := said.ReadString('\n')
	environ, err2 := said.ReadString('\n')
	out.Close()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	cgroup, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(pid), "cgroup"))
	if err != nil {
		return nil, err
	}
	r.group = cgroupRoot + strings.TrimPrefix(strings.TrimSpace(string(cgroup)), "0::")
	env := strings.Split(strings.TrimRight(environ, "\x00\n"), "\x00")
	return slices.DeleteFunc(env, func(e string) bool { // a service's, not a login's
		return strings.HasPrefix(e, "INVOCATION_ID=") || strings.HasPrefix(e, "SYSTEMD_EXEC_PID=")
	}), nil
}

// finish kills what the job left in its session and below the user's manager, the manager's own services included.
func (r *sessionRunner) finish() error {
	defer reapRest()
	managed := fmt.Sprintf("%s/user.slice/user-%d.slice/user@*.service/*.slice", cgroupRoot, r.user.UID)
	groups, err := filepath.Glob(managed)
	if err != nil {
		return err
	}
	for _, g := range append(groups, r.group) {
		err := writeFile(filepath.Join(g, "cgroup.kill"), "1")
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return nil
}

// freshManager restarts the user's manager, so that a job finds no units of the one before.
func (r *sessionRunner) freshManager() error {
	if r.n == 0 || r.shape == wire.ShapeNoBus {
		return nil
	}
	if out, err := exec.Command("systemctl", "restart", "user@"+strconv.Itoa(r.user.UID)+".service").CombinedOutput(); err != nil {
		return fmt.Errorf("restart the user manager: %w: %s", err, out)
	}
	return nil
}
