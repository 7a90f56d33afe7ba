package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// sessionRunner runs each job as a service with a PAM session of the user, so that logind puts it where a login by ssh
// is: into a session scope of user-UID.slice, which is root's. Delegation has to come from the user's own manager. What
// became of the job is what systemd says, not what anything of the user's says.
//
// In shape no-bus the job has neither a session nor a manager, as under cron or su.
type sessionRunner struct {
	user  wire.User
	shape string
	n     int
}

func (r *sessionRunner) run(req wire.RunRequest, files [3]*os.File) (wire.ExitInfo, error) {
	argv0, err := exec.LookPath(req.Argv[0])
	if err != nil {
		return startFailure(err), nil
	}
	req.Argv[0] = argv0
	if req.Dir == "" {
		req.Dir = r.user.Home()
	}
	if err := r.freshManager(); err != nil {
		return wire.ExitInfo{}, err
	}
	r.n++
	unit := "vm-job-" + strconv.Itoa(r.n) + ".service"
	if err := os.WriteFile(filepath.Join(units, unit), []byte(r.unitText(req, files)), 0o600); err != nil {
		return wire.ExitInfo{}, err
	}
	// A oneshot service has succeeded if it exited with 0, and then systemd forgets it. After a failure its properties
	// tell more than systemctl's own exit status.
	if exec.Command("systemctl", "start", "--quiet", unit).Run() == nil {
		return wire.ExitInfo{}, nil
	}
	out, err := exec.Command("systemctl", "show", "--property=Result,ExecMainCode,ExecMainStatus", unit).Output()
	if err != nil {
		return wire.ExitInfo{}, fmt.Errorf("systemctl show: %w", err)
	}
	return exitInfo(out)
}

// unitText is the service of one job. Its output goes to this process's pipes, which systemd opens by their names.
// A oneshot service takes no signal for a success, and a start waits for its end.
func (r *sessionRunner) unitText(req wire.RunRequest, files [3]*os.File) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Service]\nType=oneshot\nTimeoutStartSec=infinity\nUser=%s\nWorkingDirectory=%s\n", r.user.Name, specifiers(req.Dir))
	fmt.Fprintf(&b, "StandardInput=null\nStandardOutput=file:%s\nStandardError=file:%s\n", ownPath(files[1]), ownPath(files[2]))
	env := []string{"LANG=C.UTF-8"}
	if r.shape != wire.ShapeNoBus {
		b.WriteString("PAMName=vm-session\n")
	}
	for _, e := range append(env, req.Env...) {
		fmt.Fprintf(&b, "Environment=%s\n", quote(e))
	}
	b.WriteString("ExecStart=:")
	for _, a := range req.Argv {
		b.WriteString(quote(a) + " ")
	}
	return b.String() + "\n"
}

// ownPath names a descriptor of this process for others.
func ownPath(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

func specifiers(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// quote quotes a word for a unit file: systemd.syntax(7) "Quoting" and systemd.unit(5) "Specifiers".
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '%':
			b.WriteString("%%")
		case c < ' ' || c == '"' || c == '\\' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// exitInfo reads what systemctl show says of an ended service.
func exitInfo(show []byte) (wire.ExitInfo, error) {
	p := map[string]string{}
	for line := range bytes.Lines(show) {
		k, v, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		p[k] = v
	}
	code, err1 := strconv.Atoi(p["ExecMainCode"])
	status, err2 := strconv.Atoi(p["ExecMainStatus"])
	if err := errors.Join(err1, err2); err != nil {
		return wire.ExitInfo{}, err
	}
	const exited, killed, dumped = 1, 2, 3 // CLD_… of waitid(2)
	switch code {
	case exited:
		if status >= 200 && p["Result"] != "exit-code" { // systemd.exec(5) "Process Exit Codes"
			return wire.ExitInfo{Code: 126, Err: "systemd: " + p["Result"]}, nil
		}
		return wire.ExitInfo{Code: status}, nil
	case killed, dumped:
		return wire.ExitInfo{Code: 128 + status, Signal: status}, nil
	}
	return wire.ExitInfo{}, fmt.Errorf("the job's service did not run: %q", show)
}

// finish kills what the job left in its session and below the user's manager, the manager's own services included.
func (r *sessionRunner) finish() error {
	slice := cgroupRoot + "/user.slice/user-" + strconv.Itoa(r.user.UID) + ".slice"
	for _, pattern := range []string{"session-*.scope", "user@*.service/*.slice"} {
		groups, err := filepath.Glob(filepath.Join(slice, pattern, "cgroup.kill"))
		if err != nil {
			return err
		}
		for _, kill := range groups {
			if err := writeFile(kill, "1"); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
				return err
			}
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
