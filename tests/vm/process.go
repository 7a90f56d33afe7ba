package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is the host side of a running machine: vminit in its role "confine", and the virtual machine below it.
type process struct {
	cmd      *exec.Cmd
	lifeline *os.File // at its end the machine ends
	channel  *os.File // our end of the channel
	once     sync.Once
	err      error
}

// startProcess starts argv confined to dir, and to a CPU unless that is negative. The machine's end of the channel is
// its descriptor 3.
func startProcess(dir, vminit string, cpu int, argv []string) (_ *process, err error) {
	console, err := os.OpenFile(filepath.Join(dir, "console.log"), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	ours, theirs, err := socketPair()
	if err != nil {
		w.Close()
		return nil, err
	}
	defer theirs.Close()
	p := &process{lifeline: w, channel: ours}
	args := []string{"confine", "-dir", dir, "-extra", "1", "-cpu", strconv.Itoa(cpu)}
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		args = append(args, "-mem", filepath.Join(dir, "mem"))
		attr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC
	}
	p.cmd = exec.Command(vminit, append(append(args, "--"), argv...)...)
	p.cmd.Stdout, p.cmd.Stderr = console, console
	p.cmd.ExtraFiles = []*os.File{r, theirs}
	p.cmd.SysProcAttr = attr
	p.cmd.Dir = dir
	if attr.Cloneflags != 0 {
		p.cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(dir, "mem"))
	}
	if err := p.cmd.Start(); err != nil {
		w.Close()
		ours.Close()
		return nil, fmt.Errorf("start the machine: %w", err)
	}
	return p, nil
}

// cut tells the machine to end; it does not wait.
func (p *process) cut() { p.lifeline.Close() }

// end ends the machine and waits until nothing of it is left. Any number of calls.
func (p *process) end() error {
	p.once.Do(func() {
		p.cut()
		var exit *exec.ExitError
		if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
			p.err = err
		}
		p.channel.Close()
	})
	return p.err
}

// socketPair returns two connected sockets; ours takes part in the runtime's polling, so that Close ends a Read.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "channel"), os.NewFile(uintptr(fds[1]), "channel"), nil
}

// keepConsole copies the console to a file that outlives the machine and returns its last 40 lines.
func keepConsole(path, lane string) (tail, kept string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	f, err := os.CreateTemp("", "jailrun-vm-"+lane+"-*.log")
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	_, err = f.Write(b)
	return lastLines(b, 40), f.Name(), err
}

func lastLines(b []byte, n int) string {
	lines := strings.Split(string(bytes.TrimRight(bytes.ReplaceAll(b, []byte("\r"), nil), "\n")), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// makeScratch makes a sparse file with an ext4 file system of size MiB.
func makeScratch(ctx context.Context, path string, mib int) error {
	mke2fs, err := findTool("mke2fs")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, mke2fs, "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0",
		"-E", "nodiscard,root_owner=0:0", path, strconv.Itoa(mib)+"M")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", mke2fs, err, bytes.TrimSpace(out))
	}
	return nil
}
