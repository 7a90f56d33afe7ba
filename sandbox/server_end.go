package sandbox

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// words is what the server has said, in one line; "" for nothing.
func (s *server) words() string {
	var buf [4096]byte
	n, err := unix.Read(s.said, buf[:])
	if err != nil || n <= 0 {
		return ""
	}
	return serverWords(string(buf[:n]))
}

func serverWords(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "unknown argument ignored: ") {
			lines = append(lines, line)
		}
	}
	return printable(strings.Join(lines, "; "))
}

// report is what the server's init tells of its end, which has begun; nil if it
// does not.
func (s *server) report() *prog.Exit {
	fds := []unix.PollFd{{Fd: int32(s.ctl), Events: unix.POLLIN}}
	for end := limits.Now() + serverPatience; fds[0].Revents == 0; {
		left := end - limits.Now()
		if left <= 0 || poll(fds, left) != nil {
			return nil
		}
	}
	var buf [512]byte
	n, err := unix.Read(s.ctl, buf[:])
	if err != nil || n <= 0 {
		return nil
	}
	rep, err := prog.ParseReport(buf[:n])
	if err != nil {
		return nil
	}
	return rep.Exit
}

// lost is the error of a server that has ended by itself.
func (s *server) lost(exit *prog.Exit, words string) *Error {
	how := "ended while the job needed it"
	if exit != nil {
		how += ": " + waitText(exit.Status)
	}
	if words != "" {
		how += ", having said: " + words
	}
	return &Error{Stage: "run", Op: opServer, Err: errors.New(opServer + " " + how)}
}

// gone reports whether the program of the server is no more, or has begun to
// end: its state tells so before anybody who waits for it has heard.
func (s *server) gone() bool {
	const flagsField, exiting = 6, 0x4 // PF_EXITING; fields as of behind the name (proc_pid_stat(5))
	text, err := readAt(int(s.proc1.Fd()), strconv.Itoa(prog.MainPid)+"/stat")
	if err != nil {
		return true
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) <= flagsField {
		return true
	}
	flags, err := strconv.ParseUint(fields[flagsField], 10, 64)
	return err != nil || flags&exiting != 0
}

// serverEnded ends the run: the job has lost its files, which is not its doing.
// A server that was killed with the job has done its work.
func (r *run) serverEnded(s *server) {
	s.ended = true
	fds := []unix.PollFd{{Fd: int32(r.proc.PidFd.Fd()), Events: unix.POLLIN}}
	if err := poll(fds, 0); err != nil || fds[0].Revents != 0 || r.over() || r.end.killing || r.end.ours {
		return // serverLost looks at it
	}
	r.end.err = s.lost(s.report(), s.words())
}

// connectionAborted is what libfuse says of ECONNABORTED, in the C locale.
const connectionAborted = "fuse: reading device: Software caused connection abort"

// serverLost says, when the job is over, whether it lost a server before: a
// process that loses its program's pages dies at once, and may be seen to be dead
// first. A server whose mounts went with the job ends by itself, and after it:
// with 0 or, where it read its next request just then, because the kernel ended
// the connection, which a server's own end does not do (fuse_abort_conn).
func (r *run) serverLost() *Error {
	for _, s := range r.servers {
		if s.killed || !s.gone() {
			continue
		}
		exit, words := s.report(), s.words()
		if exit != nil && exit.Status.Exited() && r.exit != nil && exit.Ended >= r.exit.Ended &&
			(exit.Status.ExitStatus() == 0 || strings.HasSuffix(words, connectionAborted)) {
			continue
		}
		return s.lost(exit, words)
	}
	return nil
}

// serverFor says whether a launch failed for want of the server, and why.
func (r *run) serverFor(e *Error) (why string, failed bool) {
	switch {
	case r.plan.servers == nil:
		return "", false
	case e.Op == opServer:
		return e.cause(), true
	case e.Op == "mount fuse", e.Path == "/dev/fuse": // no module, a device group, a user namespace of old
		return e.Op + ": " + e.Errno.Error(), true
	case e.Errno == unix.ENOTCONN, e.Errno == unix.ECONNABORTED:
		for _, s := range r.servers {
			if s.gone() {
				return s.lost(s.report(), s.words()).cause(), true
			}
		}
		return e.Errno.Error(), true
	}
	return "", false
}

// killServers ends all servers.
func (r *run) killServers() {
	for _, s := range r.servers {
		s.kill()
	}
}

// spareServers kills the servers when the job, killed or at its end, has had its
// time: the rest of it may wait for an answer.
func (r *run) spareServers(now time.Duration) {
	if r.servers == nil || r.servers[0].killed {
		return
	}
	ended := r.proc.Ended()
	if r.end.killing && now >= r.end.force-killPatience+serverPatience || ended > 0 && now-ended > serverPatience {
		r.event("root", "the job does not come to an end; killing "+opServer, 0)
		r.killServers()
	}
}

// serversUse is the memory of the servers' own, and their CPU time.
func (r *run) serversUse() (memory limits.Size, cpu time.Duration) {
	for _, s := range r.servers {
		m, c := s.used()
		memory, cpu = memory+m, cpu+c
	}
	return memory, cpu
}

// used is what one server uses.
func (s *server) used() (memory limits.Size, cpu time.Duration) {
	if s.ended {
		return 0, s.cpu
	}
	sample, err := s.sampler.Sample(limits.SampleMemory | limits.SampleCPU)
	if err != nil { // it is ending
		return 0, s.cpu
	}
	for _, p := range sample.Processes {
		memory += p.RSS - min(p.RSS, p.Shared)
	}
	s.cpu = max(s.cpu, sample.CPU)
	return memory, s.cpu
}

// serverRow is the ledger's row for a server.
func (r *run) serverRow() Enforced {
	e := Enforced{
		Name: "overlay_server", Asked: int64(serverMemory), Mechanism: "RLIMIT_DATA", EnforcedBy: byKernel, HoldsAgainst: everything,
		Note: "its CPU time and memory are counted as the job's",
	}
	if r.group != nil {
		e.Mechanism, e.Note = "RLIMIT_DATA, the job's cgroup", "it runs in the job's group"
	}
	return e
}
