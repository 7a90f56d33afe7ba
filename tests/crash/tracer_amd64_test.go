package crash

import (
	"encoding/binary"
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
	At    string // the part whose calls count: runner, init, helper or job (before its execve)
	Phase string // in which they do; "" for each
	Nth   int    // of those calls, from 1; 0 for none
	// Errno is what the call answers without having been made; 0: it is made.
	Errno unix.Errno
	// Signal goes to the process of Whom at that call. SIGSTOP is followed by
	// SIGCONT after pause.
	Signal unix.Signal
	Whom   string
}

// pause is how long a part is stopped.
const pause = 50 * time.Millisecond

// A trace is what a tracer saw.
type trace struct {
	// Calls has, for each call of each part, the phase of the run in which it
	// was made. What the same line of code calls again in a phase is left out.
	Calls map[string][]string
	// Hit is the call that was interfered with, its number and arguments. It is
	// written as soon as it is known, in case that nothing follows.
	Hit  string
	PID  int // of the runner
	Code int // exit code of the runner, -1 for a signal
	Sig  int
}

const tracerEnv = "JAILRUN_CRASH_TRACER"

// tracee is a thread that is followed.
type tracee struct {
	role    string
	process int
	fresh   bool       // its first stop, a SIGSTOP of the tracer's, is to come
	ran     bool       // the job's program: only its end matters
	inside  bool       // of a system call
	answer  unix.Errno // of the call it is in, if it is not made
}

type tracer struct {
	order   order
	runner  int
	threads map[int]*tracee
	roles   map[int]string // of processes
	phase   string
	sites   map[string]bool // that have called
	nth     int             // calls that count so far
	stop    int             // process that is being stopped, or 0
	sent    bool            // its SIGSTOP has been delivered
	held    []int           // its threads that are
	until   time.Time
	trace   trace
	report  *json.Encoder
}

// Phases of a run, as its calls tell them.
const (
	inPreparation = "in preparation"
	withNetwork   = "with a network prepared"
	withInit      = "while init makes the root"
	withJob       = "while the job confines itself"
	whileItRuns   = "while the program runs"
	afterwards    = "after the program"
)

// traceMain is the tracer's process: it runs the arguments and writes its
// report to descriptor 3.
func traceMain() error {
	runtime.LockOSThread()
	t := &tracer{threads: map[int]*tracee{}, roles: map[int]string{}, phase: inPreparation, sites: map[string]bool{}, report: json.NewEncoder(os.NewFile(3, "report")), trace: trace{Calls: map[string][]string{}}}
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
	t.runner, t.trace.PID = cmd.Process.Pid, cmd.Process.Pid
	if err := t.attach(); err != nil {
		return err
	}
	t.roles[t.runner] = "runner"
	t.threads[t.runner] = &tracee{role: "runner", process: t.runner, fresh: true}
	if err := unix.PtraceSyscall(t.runner, 0); err != nil {
		return err
	}
	if err := t.follow(); err != nil {
		return err
	}
	return t.report.Encode(t.trace)
}

// attach takes hold of the runner, which has just become itself and asked to be
// traced. It lets go first: a program that asked is traced with its own rights,
// and newuidmap would get none.
func (t *tracer) attach() error {
	wait := func() error {
		_, err := unix.Wait4(t.runner, nil, unix.WALL|unix.WUNTRACED, nil)
		return err
	}
	if err := wait(); err != nil {
		return os.NewSyscallError("wait4", err)
	}
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(t.runner), 0, uintptr(unix.SIGSTOP), 0, 0); errno != 0 {
		return os.NewSyscallError("detach", errno)
	}
	if err := wait(); err != nil {
		return os.NewSyscallError("wait4", err)
	}
	if err := unix.PtraceAttach(t.runner); err != nil {
		return os.NewSyscallError("attach", err)
	}
	if err := wait(); err != nil {
		return os.NewSyscallError("wait4", err)
	}
	if err := unix.Kill(t.runner, unix.SIGCONT); err != nil {
		return os.NewSyscallError("kill", err)
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	return os.NewSyscallError("setoptions", unix.PtraceSetOptions(t.runner, options))
}

func (t *tracer) follow() error {
	for {
		flags := unix.WALL
		if t.stop != 0 {
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
		case tid == 0: // nothing but what is stopped
			time.Sleep(time.Millisecond)
			if time.Now().After(t.until) {
				t.goOn()
			}
			continue
		}
		if ws.Exited() || ws.Signaled() {
			if tid == t.runner {
				t.trace.Code, t.trace.Sig = ws.ExitStatus(), int(ws.Signal())
			}
			if x := t.threads[tid]; x != nil && x.ran {
				t.phase = afterwards
			}
			delete(t.threads, tid)
			continue
		}
		if ws.Stopped() {
			t.stopped(tid, ws)
		}
	}
}

// goOn ends the time for which a process is stopped.
func (t *tracer) goOn() {
	_ = unix.Kill(t.stop, unix.SIGCONT)
	for _, tid := range t.held {
		_ = unix.PtraceSyscall(tid, 0)
	}
	t.stop, t.held = 0, nil
}

// stopped deals with one stop of a thread and lets it go on.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) {
	x := t.threads[tid]
	if x == nil {
		x = t.meet(tid)
	}
	signal := 0
	switch sig := ws.StopSignal(); {
	case sig == unix.SIGTRAP|0x80:
		t.call(tid, x)
	case x.ran:
		if ws.TrapCause() <= 0 {
			signal = int(sig)
		}
		_ = unix.PtraceCont(tid, signal)
		return
	case ws.TrapCause() == unix.PTRACE_EVENT_EXEC && x.role == "job":
		x.ran = true
		t.phase = whileItRuns
		_ = unix.PtraceSetOptions(tid, unix.PTRACE_O_TRACEEXEC)
		_ = unix.PtraceCont(tid, 0)
		return
	case ws.TrapCause() == unix.PTRACE_EVENT_EXEC && tid != t.runner: // a helper of another name
		if t.phase == inPreparation {
			t.phase = withNetwork
		}
		delete(t.threads, tid)
		_ = unix.PtraceDetach(tid)
		return
	case ws.TrapCause() > 0:
	case sig == unix.SIGSTOP && x.fresh:
		x.fresh = false
	case sig == unix.SIGSTOP && x.process == t.stop && t.sent:
		t.held = append(t.held, tid)
		return
	case sig == unix.SIGSTOP && x.process == t.stop:
		t.sent = true
		signal = int(sig)
	default:
		signal = int(sig)
	}
	_ = unix.PtraceSyscall(tid, signal)
}

// meet finds out what a new thread belongs to.
func (t *tracer) meet(tid int) *tracee {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(text), "\n"+name+":")
		n, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
		return n
	}
	x := &tracee{process: field("Tgid"), fresh: true}
	if x.role = t.roles[x.process]; x.role == "" {
		_, rest, _ := strings.Cut(string(text), "\nNSpid:")
		ids, _, _ := strings.Cut(rest, "\n")
		switch {
		case t.roles[field("PPid")] == "init":
			x.role = "job"
			t.phase = withJob
		case strings.HasSuffix(ids, "\t1"): // in a pid namespace of its own
			x.role = "init"
			t.phase = withInit
		default: // who holds a user namespace, or becomes another program
			x.role = "helper"
		}
		t.roles[x.process] = x.role
	}
	t.threads[tid] = x
	return x
}

// idle reports whether a call is one with which the Go runtime waits: how many
// there are is chance, and nothing is done between them.
func idle(nr uint64) bool {
	switch nr {
	case unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_CLOCK_GETTIME:
		return true
	}
	return false
}

// again reports whether the call has been made before in this phase, from the
// same stack. Init and the job have none: each call is a step of its own.
func (t *tracer) again(tid int, x *tracee, regs *unix.PtraceRegs) bool {
	if x.role != "runner" && x.role != "helper" {
		return false
	}
	site := fmt.Sprintf("%s %d %x", t.phase, regs.Orig_rax, regs.Rip)
	frame := regs.Rbp // Go keeps frame pointers, on all of its stacks
	for range 32 {
		var words [16]byte
		if n, err := unix.PtracePeekData(tid, uintptr(frame), words[:]); n != len(words) || err != nil {
			break
		}
		next := binary.LittleEndian.Uint64(words[:])
		site += fmt.Sprintf(" %x", binary.LittleEndian.Uint64(words[8:]))
		if next <= frame {
			break
		}
		frame = next
	}
	known := t.sites[site]
	t.sites[site] = true
	return known
}

// call deals with the beginning or the end of a system call.
func (t *tracer) call(tid int, x *tracee) {
	var regs unix.PtraceRegs
	x.inside = !x.inside
	if unix.PtraceGetRegs(tid, &regs) != nil {
		return
	}
	if !x.inside {
		if x.answer != 0 {
			regs.Rax = uint64(-int64(x.answer))
			_ = unix.PtraceSetRegs(tid, &regs)
			x.answer = 0
		}
		return
	}
	if idle(regs.Orig_rax) || t.again(tid, x, &regs) {
		return
	}
	t.trace.Calls[x.role] = append(t.trace.Calls[x.role], t.phase)
	if x.role != t.order.At || t.order.Phase != "" && t.phase != t.order.Phase {
		return
	}
	if t.nth++; t.nth != t.order.Nth {
		return
	}
	t.trace.Hit = fmt.Sprintf("call %d (%#x, %#x, %#x) %s", regs.Orig_rax, regs.Rdi, regs.Rsi, regs.Rdx, t.phase)
	_ = t.report.Encode(t.trace.Hit)
	if t.order.Errno != 0 {
		x.answer = t.order.Errno
		if regs.Orig_rax != unix.SYS_CLOSE { // close(2): whatever it answers, the descriptor is closed
			regs.Orig_rax = ^uint64(0)
			_ = unix.PtraceSetRegs(tid, &regs)
		}
		return
	}
	for pid, role := range t.roles {
		if role != t.order.Whom {
			continue
		}
		if t.order.Signal == unix.SIGSTOP {
			t.stop, t.until = pid, time.Now().Add(pause)
		}
		_ = unix.Kill(pid, t.order.Signal)
	}
}
