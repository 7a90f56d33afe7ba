package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A tracer follows a run of jailrun by ptrace, counts the system calls of each
// of its parts, and interferes at one of them. It is a process of its own,
// because it waits for whatever comes.

// An order says where to interfere, and how.
type order struct {
	Role string // runner, init or job (before its execve)
	Nth  int    // call of that part, from 1; 0 for none
	// Errno is what the call answers without having been made; 0: it is made.
	Errno unix.Errno
	// Signal goes to the part's process at that call.
	Signal unix.Signal
	// Hold stops the part for a while, as SIGSTOP and SIGCONT would.
	Hold bool
}

// A trace is what a tracer saw.
type trace struct {
	Calls map[string]int // of each part
	Hit   string         // the call that it interfered with: its number, and the program counter
	Code  int            // exit code of the runner, -1 for a signal
	Sig   int
}

const tracerEnv = "JAILRUN_CRASH_TRACER"

// tracee is a thread that is followed.
type tracee struct {
	role    string
	process int
	inside  bool       // of a system call
	answer  unix.Errno // of the call it is in, if it is not made
}

type tracer struct {
	order   order
	runner  int
	threads map[int]*tracee
	roles   map[int]string // of processes
	held    int            // thread that waits
	until   time.Time
	trace   trace
}

// traceMain is the tracer's process: it runs the arguments and writes its
// trace to descriptor 3.
func traceMain() error {
	runtime.LockOSThread()
	t := &tracer{threads: map[int]*tracee{}, roles: map[int]string{}, trace: trace{Calls: map[string]int{}}}
	if err := json.Unmarshal([]byte(os.Getenv(tracerEnv)), &t.order); err != nil {
		return err
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ()[:0:0], "PATH=/usr/local/bin:/usr/bin:/bin", "HOME="+os.Getenv("HOME"), "TMPDIR="+os.Getenv("HOME"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if uid, err := strconv.Atoi(os.Getenv("JAILRUN_CRASH_UID")); err == nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	t.runner = cmd.Process.Pid
	if _, err := unix.Wait4(t.runner, nil, unix.WALL, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(t.runner, options); err != nil {
		return err
	}
	t.roles[t.runner] = "runner"
	t.threads[t.runner] = &tracee{role: "runner", process: t.runner}
	if err := unix.PtraceSyscall(t.runner, 0); err != nil {
		return err
	}
	if err := t.follow(); err != nil {
		return err
	}
	return json.NewEncoder(os.NewFile(3, "trace")).Encode(t.trace)
}

func (t *tracer) follow() error {
	for {
		flags := unix.WALL
		if t.held != 0 {
			flags |= unix.WNOHANG
		}
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-1, &ws, flags, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return err
		case tid == 0: // nothing but what is held
			time.Sleep(time.Millisecond)
			if time.Now().After(t.until) {
				_ = unix.PtraceSyscall(t.held, 0)
				t.held = 0
			}
			continue
		}
		if ws.Exited() || ws.Signaled() {
			if tid == t.runner {
				t.trace.Code, t.trace.Sig = ws.ExitStatus(), int(ws.Signal())
			}
			delete(t.threads, tid)
			continue
		}
		if ws.Stopped() {
			t.stopped(tid, ws)
		}
	}
}

// stopped deals with one stop of a thread and lets it go on.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) {
	x := t.threads[tid]
	if x == nil {
		x = t.meet(tid)
	}
	switch {
	case ws.StopSignal() == unix.SIGTRAP|0x80:
		if t.call(tid, x) {
			return // it is held
		}
	case ws.TrapCause() == unix.PTRACE_EVENT_EXEC && tid != t.runner:
		// A job's program, or a helper: no part of ours any more.
		delete(t.threads, tid)
		_ = unix.PtraceDetach(tid)
		return
	case ws.TrapCause() > 0, ws.StopSignal() == unix.SIGSTOP && !x.inside:
	default:
		_ = unix.PtraceSyscall(tid, int(ws.StopSignal()))
		return
	}
	_ = unix.PtraceSyscall(tid, 0)
}

// meet finds out what a new thread belongs to.
func (t *tracer) meet(tid int) *tracee {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(text), "\n"+name+":")
		n, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
		return n
	}
	x := &tracee{process: field("Tgid")}
	if x.role = t.roles[x.process]; x.role == "" {
		switch t.roles[field("PPid")] {
		case "runner":
			x.role = "init"
		case "init":
			x.role = "job"
		default:
			x.role = "other"
		}
		t.roles[x.process] = x.role
	}
	t.threads[tid] = x
	return x
}

// call deals with the beginning or the end of a system call, and says whether
// the thread is held.
func (t *tracer) call(tid int, x *tracee) bool {
	var regs unix.PtraceRegs
	x.inside = !x.inside
	if !x.inside {
		if x.answer != 0 && unix.PtraceGetRegs(tid, &regs) == nil {
			regs.Rax = uint64(-int64(x.answer))
			_ = unix.PtraceSetRegs(tid, &regs)
			x.answer = 0
		}
		return false
	}
	t.trace.Calls[x.role]++
	if x.role != t.order.Role || t.trace.Calls[x.role] != t.order.Nth || t.trace.Hit != "" {
		return false
	}
	if unix.PtraceGetRegs(tid, &regs) != nil {
		return false
	}
	t.trace.Hit = fmt.Sprintf("call %d (%#x, %#x, %#x)", regs.Orig_rax, regs.Rdi, regs.Rsi, regs.Rdx)
	switch {
	case t.order.Errno != 0:
		x.answer = t.order.Errno
		regs.Orig_rax = ^uint64(0)
		_ = unix.PtraceSetRegs(tid, &regs)
	case t.order.Signal != 0:
		_ = unix.Kill(x.process, t.order.Signal)
	case t.order.Hold:
		t.held, t.until = tid, time.Now().Add(50*time.Millisecond)
		return true
	}
	return false
}
