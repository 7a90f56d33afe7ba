package sandbox

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// Decision: what the filter denies is named by user notification of the calls
// that it denies, and by nothing else. The audit log (SECCOMP_RET_LOG) is
// root's, SECCOMP_RET_TRACE needs a tracer, which the job could then not be
// itself, and SECCOMP_RET_TRAP tells the job's own handler. A program that
// makes no such call pays 6 µs of CPU time once, in its launch (1 for the
// listener, 5 to pass it on), which is why it is the default; a denied call
// takes 9 µs instead of 0.2 (BenchmarkDenied).
//
// The answer is that of the original filter, and depends on registers alone:
// nothing the job writes meanwhile changes it. When the runner dies the job
// dies with it; when it is stopped, denied calls wait for it; when it lets go
// of the listener, they get ENOSYS. None of them is ever made.

// maxDenied is how many denied calls of a run are named. A job that makes more
// would have the runner work for it outside its limits: the listener is closed
// and the rest gets ENOSYS from the kernel alone.
const maxDenied = 1000

// sender is the call with which the job passes its listener on, as filters see it.
var sender = seccomp.Call{Number: unix.SYS_SENDMSG, Arch: seccomp.Arch, Args: [6]uint64{2: prog.ListenerFlags}}

// lowering is the call with which the job lowers RLIMIT_NOFILE after that.
var lowering = seccomp.Call{Number: unix.SYS_PRLIMIT64, Arch: seccomp.Arch, Args: [6]uint64{1: unix.RLIMIT_NOFILE}}

// A DeniedCall is a system call that the filter refused.
type DeniedCall struct {
	Syscall string `json:"syscall"`
	Answer  string `json:"answer"` // an errno, or "kill"
	Count   int    `json:"count"`
}

// A listener answers the calls that a filter hands to the runner. It belongs
// to the loop.
type listener struct {
	run    *run
	fd     int // -1 before it came and after it was closed
	filter []byte
	denied []denial
	total  int
	cut    bool // maxDenied was reached
	record *recorder
}

type denial struct {
	number uint32
	answer seccomp.Answer
	count  int
}

func newListener(r *run) listener {
	l := listener{run: r, fd: -1}
	if f := &r.plan.filters; f.listen {
		l.filter = f.meant
		if f.record {
			l.record = &recorder{}
		}
	}
	return l
}

// recordLaunch serves a recording filter before the job's program runs. fds are
// those of ctl and the listener, or none.
func (r *run) recordLaunch(fds []unix.PollFd) error {
	if len(fds) == 0 {
		return nil
	}
	if fds[0].Revents&unix.POLLIN != 0 {
		r.receive()
	}
	if fds[1].Revents != 0 && r.listener.fd >= 0 {
		r.listener.ready(fds[1].Revents)
	}
	return r.end.err
}

// take keeps the descriptor that came with the Listener message.
func (l *listener) take(files []*os.File) error {
	if len(files) != 1 || l.fd >= 0 || l.filter == nil {
		return prog.ErrMessage
	}
	fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	l.fd = fd
	l.run.undo.add(l.close)
	return nil
}

// close makes every denied call fail with ENOSYS from now on.
func (l *listener) close() error { return l.run.closeFd(&l.fd) }

// ready answers one waiting call.
func (l *listener) ready(events int16) {
	if events&unix.POLLIN == 0 { // nobody is left whom the filter binds
		_ = l.close()
		return
	}
	n, err := prog.ReceiveNotified(l.fd)
	if err != nil {
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINTR) {
			l.run.end.err = os.NewSyscallError("ioctl SECCOMP_IOCTL_NOTIF_RECV", err)
		}
		return
	}
	call := seccomp.Call{Number: n.Number, Arch: n.Arch, Args: n.Args}
	answer, ok := seccomp.Evaluate(l.filter, &call)
	switch {
	case !ok:
		l.run.end.err = bug(errors.New("a filter that cannot be evaluated is in force"))
		return
	case answer.Kills():
		// It stays where it is until it is killed: the job never goes on.
		l.count(&call, answer)
		l.run.fire(firing{by: bySyscall, at: limits.Now(), detail: errors.New(callName(&call))}, false)
		return
	case answer.Allowed():
		err = n.Continue(l.fd)
	default:
		err = n.Refuse(l.fd, answer.Errno())
	}
	switch {
	case err == nil:
		l.count(&call, answer)
	case !errors.Is(err, unix.ENOENT): // of those that a signal interrupted, the second counts
		l.run.end.err = os.NewSyscallError("ioctl SECCOMP_IOCTL_NOTIF_SEND", err)
	}
}

func (l *listener) count(call *seccomp.Call, answer seccomp.Answer) {
	if l.record != nil {
		l.record.note(call, answer)
		return
	}
	l.total++
	for i := range l.denied {
		if d := &l.denied[i]; d.number == call.Number && d.answer == answer {
			d.count++
			l.cap()
			return
		}
	}
	l.denied = append(l.denied, denial{call.Number, answer, 1})
	l.cap()
}

func (l *listener) cap() {
	if l.total >= maxDenied {
		l.cut = true
		_ = l.close()
	}
}

// report is Result.Denied.
func (l *listener) report() []DeniedCall {
	var list []DeniedCall
	for i := range l.denied {
		d := &l.denied[i]
		list = append(list, DeniedCall{seccomp.CallName(d.number), answerText(d.answer), d.count})
	}
	return list
}

func answerText(a seccomp.Answer) string {
	switch {
	case a.Allowed():
		return "allow"
	case a.Kills():
		return "kill"
	}
	return errnoName(a.Errno())
}

func errnoName(e unix.Errno) string {
	if e == unix.EOPNOTSUPP {
		return "EOPNOTSUPP" // the same number as ENOTSUP, which is no answer of a filter's
	}
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return "errno " + strconv.FormatUint(uint64(e), 10)
}

func callName(c *seccomp.Call) string {
	if c.Arch != seccomp.Arch {
		return "system call " + strconv.FormatUint(uint64(c.Number), 10) + " of a foreign ABI"
	}
	return seccomp.CallName(c.Number)
}
