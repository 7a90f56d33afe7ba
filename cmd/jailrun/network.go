package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// netHelper is the network of a run, made by the sibling jailrun-net: jailrun
// itself carries no network code. It asks by one datagram and is answered by
// one.
type netHelper struct {
	asked   []string // flags as NAME=VALUE, for the sibling to read
	socket  int      // our end; -1 when there is none
	process *os.Process
}

// network returns the network that the flags ask for, or nil for none.
func (r *request) network() *netHelper {
	if r.net == "" {
		return nil
	}
	return &netHelper{asked: append([]string{"net=" + r.net}, r.netAsked...), socket: -1}
}

// Prepare starts the sibling in the group and lets it check what was asked.
func (n *netHelper) Prepare(_ context.Context, group *os.File) (hosts, resolv string, err error) {
	program, err := findSibling("jailrun-net")
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", &netError{text: "jailrun-net is not installed", hint: "it belongs beside jailrun or into ../libexec/jailrun"}
	}
	if err != nil {
		return "", "", err
	}
	defer program.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", "", os.NewSyscallError("socketpair", err)
	}
	n.socket = pair[0]
	theirs := os.NewFile(uintptr(pair[1]), "jailrun-net")
	defer theirs.Close()
	// By descriptor: what was checked is what runs. It must not have the number
	// of one that the child gets.
	fd, err := unix.FcntlInt(program.Fd(), unix.F_DUPFD_CLOEXEC, 16)
	if err != nil {
		return "", "", os.NewSyscallError("fcntl", err)
	}
	defer unix.Close(fd)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return "", "", err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir: "/", Env: netEnvironment(), Files: []*os.File{null, null, null, theirs}, // a pipe of the caller's is not to stay open behind us
		// Not in our process group: Ctrl-C is for us, and we end it.
		Sys: &syscall.SysProcAttr{Setpgid: true},
	}
	if group != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(group.Fd())
	}
	n.process, err = os.StartProcess("/proc/self/fd/"+strconv.Itoa(fd), append([]string{"jailrun-net", "serve"}, n.asked...), attr)
	if err != nil {
		return "", "", err
	}
	theirs.Close() // its end is to be the only one: its death is then an end of file
	answer, err := n.ask("prepare")
	hosts, resolv, _ = strings.Cut(answer, "\x00")
	return hosts, resolv, err
}

// netEnvironment is what the sibling may see of ours.
func netEnvironment() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		env = append(env, "XDG_RUNTIME_DIR="+dir)
	}
	return env
}

// Attach hands the namespaces over.
func (n *netHelper) Attach(_ context.Context, pid int, user, net, filter *os.File) (func() (json.RawMessage, error), error) {
	_, err := n.ask("attach "+strconv.Itoa(pid), int(user.Fd()), int(net.Fd()), int(filter.Fd()))
	if err != nil {
		return nil, err
	}
	return func() (json.RawMessage, error) {
		record, err := n.ask("detach")
		return json.RawMessage(record), err
	}, nil
}

// maxAnswer holds a record of three times 256 endpoints.
const maxAnswer = 160 << 10

// ask sends a request and waits for its answer. The sibling bounds its own
// patience; if it dies, the socket ends.
func (n *netHelper) ask(request string, fds ...int) (string, error) {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(n.socket, []byte(request), oob, nil, unix.MSG_NOSIGNAL); err != nil {
		return "", &netError{text: "jailrun-net has ended: " + err.Error()}
	}
	buf := make([]byte, maxAnswer)
	for {
		size, err := unix.Read(n.socket, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return "", os.NewSyscallError("read", err)
		case size == 0:
			return "", &netError{text: "jailrun-net ended without an answer"}
		}
		return parseAnswer(string(buf[:size]))
	}
}

// parseAnswer reads "ok", or an error with its errno, path and hint.
func parseAnswer(s string) (string, error) {
	kind, rest, _ := strings.Cut(s, "\x00")
	if kind == "ok" {
		return rest, nil
	}
	parts := strings.SplitN(rest, "\x00", 4)
	if kind != "error" || len(parts) != 4 {
		return "", &netError{text: "jailrun-net gave no answer that is understood"}
	}
	e := &netError{text: parts[3], hint: parts[2]}
	if errno, err := strconv.Atoi(parts[0]); err == nil && errno > 0 && parts[1] != "" {
		return "", &os.PathError{Op: "open", Path: parts[1], Err: unix.Errno(errno)}
	}
	return "", e
}

// netError is what the sibling said.
type netError struct{ text, hint string }

func (e *netError) Error() string { return e.text }

// Hint says what to do.
func (e *netError) Hint() string { return e.hint }

// Close lets the sibling end: it waits for the helpers, which takes the kernel 20
// ms and more, and ends itself. Nobody waits for that.
func (n *netHelper) Close() error {
	if n.socket >= 0 {
		_ = unix.Close(n.socket)
		n.socket = -1
	}
	if n.process == nil {
		return nil
	}
	p := n.process
	n.process = nil
	go func() { _, _ = p.Wait() }()
	return nil
}
