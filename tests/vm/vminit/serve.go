package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jailrun/jailrun/tests/vm/wire"
	"golang.org/x/sys/unix"
)

// starter starts one job as the ordinary user.
type starter interface {
	// start runs the job with the three descriptors and returns its pid; wait is over the pid.
	start(req wire.RunRequest, files []uintptr) (pid int, err error)
	// finish ends whatever the job left behind, once its first process is gone.
	finish() error
}

// serve answers requests on the channel until the host hangs up.
func serve(s wire.Setup, st starter) error {
	ch, err := openChannel(s.Channel)
	if err != nil {
		return err
	}
	defer ch.Close()
	w, r := wire.NewWriter(ch), bufio.NewReader(ch)
	if err := w.SendJSON(wire.Ready, readyInfo()); err != nil {
		return err
	}
	for {
		t, payload, err := wire.Read(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var req wire.RunRequest
		if t != wire.Run || json.Unmarshal(payload, &req) != nil || len(req.Argv) == 0 {
			return fmt.Errorf("request of type %q is none", t)
		}
		info, err := runJob(req, st, w)
		if err != nil {
			_ = w.Send(wire.Fatal, []byte(err.Error()))
			return err
		}
		if err := w.SendJSON(wire.Exit, info); err != nil {
			return err
		}
	}
}

// openChannel opens the device; a terminal line is made transparent for all bytes.
func openChannel(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	tio, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return f, nil // no terminal: a virtio port
	}
	tio.Iflag, tio.Oflag, tio.Lflag = 0, 0, 0
	tio.Cflag = tio.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	tio.Cc[unix.VMIN], tio.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, tio); err != nil {
		f.Close()
		return nil, os.NewSyscallError("ioctl TCSETS", err)
	}
	return f, nil
}

func readyInfo() wire.ReadyInfo {
	var info wire.ReadyInfo
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		info.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/uptime"); err == nil {
		first, _, _ := strings.Cut(string(b), " ")
		info.Uptime, _ = strconv.ParseFloat(first, 64)
	}
	return info
}

// runJob runs one job and forwards what it prints. The error is one of the machine, not of the job.
func runJob(req wire.RunRequest, st starter, w *wire.Writer) (wire.ExitInfo, error) {
	null, err := os.Open("/dev/null")
	if err != nil {
		return wire.ExitInfo{}, err
	}
	defer null.Close()
	var copies sync.WaitGroup
	files, ends := []uintptr{null.Fd()}, []*os.File{}
	for _, t := range []wire.Type{wire.Stdout, wire.Stderr} {
		r, pw, err := os.Pipe()
		if err != nil {
			return wire.ExitInfo{}, err
		}
		files, ends = append(files, pw.Fd()), append(ends, pw)
		copies.Go(func() { forward(r, t, w) })
	}
	pid, err := st.start(req, files)
	for _, end := range ends {
		end.Close()
	}
	var info wire.ExitInfo
	if err != nil {
		info = wire.ExitInfo{Code: startFailure(err), Err: err.Error()}
	} else if info, err = wait(pid); err != nil {
		return info, err
	}
	// What the job left running holds the pipes; it is killed before their end is awaited.
	if err := st.finish(); err != nil {
		return info, fmt.Errorf("what the job left behind: %w", err)
	}
	copies.Wait()
	return info, nil
}

func forward(r *os.File, t wire.Type, w *wire.Writer) {
	defer r.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && w.Send(t, buf[:n]) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// startFailure is the shell's exit code for a command that could not be started.
func startFailure(err error) int {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return 127
	}
	return 126
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

// directStarter starts jobs straight from pid 1, in the delegated group.
type directStarter struct {
	user   wire.User
	groups *delegation
}

func (d *directStarter) start(req wire.RunRequest, files []uintptr) (int, error) {
	group, err := os.Open(d.groups.scope)
	if err != nil {
		return 0, err
	}
	defer group.Close()
	argv0, err := exec.LookPath(req.Argv[0])
	if err != nil {
		return 0, err
	}
	dir := req.Dir
	if dir == "" {
		dir = d.user.Home()
	}
	pid, _, err := syscall.StartProcess(argv0, req.Argv, &syscall.ProcAttr{
		Dir: dir, Env: append(userEnv(d.user), req.Env...), Files: files,
		Sys: &syscall.SysProcAttr{
			Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd()),
			Credential: &syscall.Credential{Uid: uint32(d.user.UID), Gid: uint32(d.user.GID)},
		},
	})
	if err != nil {
		return 0, &os.PathError{Op: "start", Path: argv0, Err: err}
	}
	return pid, nil
}

func (d *directStarter) finish() error {
	defer reapRest()
	if d.groups.shape != wire.ShapeCgroupReadOnly {
		return d.groups.fresh()
	}
	return errors.Join(remount(cgroupRoot, false), d.groups.fresh(), remount(cgroupRoot, true))
}

// userEnv is the environment of a login.
func userEnv(u wire.User) []string {
	return []string{
		"PATH=" + wire.Path, "HOME=" + u.Home(), "USER=" + u.Name, "LOGNAME=" + u.Name, "SHELL=/bin/sh", "LANG=C.UTF-8",
		"XDG_RUNTIME_DIR=" + filepath.Join("/run/user", strconv.Itoa(u.UID)),
	}
}
