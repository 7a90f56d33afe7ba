package userns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

// NewNamespace makes a user namespace with these maps and no process in it. It
// lives as long as the descriptor, which the caller closes, or anything made with
// it. It serves as the owner map of [MappedTree], where inside are the ids on disk
// and outside the ids shown, and as a namespace that others are nested in.
//
// Errors: [ErrDisabled], those of [Prepare] and [Maps.Write]. It is safe for
// concurrent use; each call forks.
func NewNamespace(ctx context.Context, uid, gid idmap.Map) (*os.File, error) {
	m, err := Prepare(uid, gid)
	if err != nil {
		return nil, err
	}
	// The tracer is a thread: should it end, the stopped process would be let
	// go, and run. Locked, the thread is ours until the process is dead; else
	// another goroutine could lock it, end, and take it along.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := startStopped(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER})
	if err != nil {
		return nil, explainStart(thisHost, err)
	}
	defer p.end()
	if err := m.Write(ctx, p.proc.Pid, p.pidfd); err != nil {
		return nil, err
	}
	return OpenNamespace(p.proc.Pid, p.pidfd)
}

// OpenNamespace opens the user namespace of the process pid, which pidfd refers
// to. The caller closes the result.
func OpenNamespace(pid, pidfd int) (*os.File, error) {
	t, err := openTarget(pid, pidfd)
	if err != nil {
		return nil, err
	}
	defer t.close()
	fd, path, err := t.open("ns/user", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// stopped is a process that stands before its first instruction.
type stopped struct {
	proc  *os.Process
	pidfd int
}

// startStopped starts our own executable in new namespaces, stopped by
// PTRACE_TRACEME when the exec is done: it never runs, it only is. The calling
// goroutine must be locked to its thread until end.
func startStopped(attr *syscall.SysProcAttr) (*stopped, error) {
	pidfd := -1
	attr.Ptrace = true
	// Should this process be killed meanwhile, the stopped one must not be let
	// go, and nobody would be left to end it.
	attr.Pdeathsig = unix.SIGKILL
	attr.PidFD = &pidfd
	proc, err := os.StartProcess("/proc/self/exe", []string{"jailrun-userns"}, &os.ProcAttr{
		Dir: "/",
		Env: []string{},
		Sys: attr,
	})
	if err != nil {
		return nil, err
	}
	p := &stopped{proc: proc, pidfd: pidfd}
	if pidfd < 0 {
		p.end()
		return nil, fmt.Errorf("the kernel gives no pidfd: %w", unix.ENOSYS)
	}
	return p, nil
}

// end kills the process and waits for it.
func (p *stopped) end() {
	_ = p.proc.Kill()
	_, _ = p.proc.Wait()
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd)
	}
}

// explainStart explains why startStopped failed. Two causes give EPERM and have
// nothing to do with user namespaces.
func explainStart(h host, err error) error {
	if errors.Is(err, unix.EPERM) {
		if tracer := h.status("TracerPid"); tracer != "" && tracer != "0" {
			return fmt.Errorf("this process is traced (strace -f?), so it cannot trace another: %w", err)
		}
		if scope, ok := h.sysctl("kernel/yama/ptrace_scope"); ok && scope >= 3 {
			return fmt.Errorf("kernel.yama.ptrace_scope is %d, so nothing may be traced: %w", scope, err)
		}
	}
	return refused(h, err)
}
