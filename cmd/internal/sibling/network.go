package sibling

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Network is the network of one run, made by the sibling jailrun-net, or by
// jailrun-publish where ports are published: jailrun itself carries no network
// code. It asks by one datagram and is answered by one. It is a Network of
// package sandbox.
//
// The sibling gets ready while the runner works on: whether it can do what was
// asked is read when the namespaces are there, unless the job's files depend on
// it.
type Network struct {
	asked    []string     // flags as NAME=VALUE, for the sibling to read
	socket   int          // our end; -1 when there is none
	begun    chan started // gives what became of the sibling's start, once; nil when there is none
	checking bool         // what it says to prepare has not been read
}

// started is what became of a start.
type started struct {
	pid int
	err error
}

// NewNetwork returns the network that flags of jailrun, NAME=VALUE, ask for; the
// first is net. Nothing is checked or started before Prepare.
func NewNetwork(asked []string) *Network { return &Network{asked: asked, socket: -1} }

// Check finds out whether what was asked can be had here, and ends the sibling.
func (n *Network) Check(ctx context.Context) error {
	_, _, err := n.Prepare(ctx, nil)
	if err == nil {
		_, err = n.checked()
	}
	return errors.Join(err, n.Close())
}

// Prepare starts the sibling in the group and lets it check what was asked.
func (n *Network) Prepare(_ context.Context, group *os.File) (hosts, resolv string, err error) {
	if err := n.start(group); err != nil {
		return "", "", err
	}
	if err := n.send("prepare"); err != nil { // it is read once there is somebody
		return "", "", err
	}
	n.checking = true
	if resolv, ok := knownResolv(n.asked); ok {
		return "", resolv, nil
	}
	answer, err := n.checked()
	hosts, resolv, _ = strings.Cut(answer, "\x00")
	return hosts, resolv, err
}

// start begins to start the sibling: an execve takes half a millisecond, in which
// the runner has other things to do.
func (n *Network) start(group *os.File) error {
	name := "jailrun-net"
	if slices.ContainsFunc(n.asked, func(a string) bool { return strings.HasPrefix(a, "publish=") }) {
		name = "jailrun-publish"
	}
	program, err := Find(name)
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return errors.Join(os.NewSyscallError("socketpair", err), program.Close())
	}
	their := os.NewFile(uintptr(pair[1]), "socket")
	cgroup := -1
	if group != nil { // the caller's, who may close it
		if cgroup, err = unix.FcntlInt(group.Fd(), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return errors.Join(os.NewSyscallError("fcntl", err), program.Close(), their.Close(), unix.Close(pair[0]))
		}
	}
	n.socket, n.begun = pair[0], make(chan started, 1)
	go func() {
		pid, err := spawn(program, append([]string{"serve"}, n.asked...), their, cgroup)
		// Theirs is to be the only one: their death is then an end of file.
		_, _ = program.Close(), their.Close()
		if cgroup >= 0 {
			_ = unix.Close(cgroup)
		}
		n.begun <- started{pid, err}
	}()
	return nil
}

// spawn starts the program with the socket as its descriptor 3. It is not package
// os that does: that would first start a child to learn what this kernel can.
func spawn(program *os.File, args []string, socket *os.File, cgroup int) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	// By descriptor: what was checked is what runs. It must not have a number
	// that the child gets, nor one of those right above what it is given: there
	// package syscall puts, in the child, what lies in its way, without a look.
	fd, err := unix.FcntlInt(program.Fd(), unix.F_DUPFD_CLOEXEC, int(max(null.Fd(), socket.Fd()))+8)
	if err != nil {
		return 0, os.NewSyscallError("fcntl", err)
	}
	defer unix.Close(fd)
	attr := &syscall.ProcAttr{
		Dir: "/", Env: netEnvironment(),
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), socket.Fd()}, // a pipe of the caller's is not to stay open behind us
		// Not in our process group: Ctrl-C is for us, and we end it.
		Sys: &syscall.SysProcAttr{Setpgid: true, UseCgroupFD: cgroup >= 0, CgroupFD: cgroup},
	}
	pid, _, err = syscall.StartProcess("/proc/self/fd/"+strconv.Itoa(fd), append([]string{"jailrun-net"}, args...), attr)
	if err != nil {
		return 0, &os.PathError{Op: "execute", Path: program.Name(), Err: err}
	}
	return pid, nil
}

// knownResolv is the job's resolv.conf where the sibling need not be asked: no
// entry of the list is a name, which has to be resolved for /etc/hosts.
func knownResolv(asked []string) (resolv string, ok bool) {
	listed, dns := false, false
	for _, a := range asked {
		entry, isEntry := strings.CutPrefix(a, "net-allow=")
		dest, _, _ := strings.Cut(entry, ":")
		switch {
		case !isEntry:
			continue
		case entry == "dns":
			dns = true
		case strings.Trim(dest, "0123456789./") != "":
			return "", false
		}
		listed = true
	}
	if listed && !dns {
		return "# names are those of /etc/hosts\n", true
	}
	return "nameserver 10.0.2.3\n", true
}

// netEnvironment is what the sibling may see of ours.
func netEnvironment() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		env = append(env, "XDG_RUNTIME_DIR="+dir)
	}
	return env
}

// UsesInit is true of drivers that enter namespaces by pid: all but our own.
func (n *Network) UsesInit() bool { return n.asked[0] != "net=slirp" }

// Attach hands the namespaces over.
func (n *Network) Attach(ctx context.Context, pid int, user, net, filter *os.File) (func() (json.RawMessage, error), error) {
	shut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // no answer is waited for
		_ = unix.Shutdown(n.socket, unix.SHUT_RDWR)
		close(shut)
	})
	defer func() {
		if !stop() {
			<-shut // before the number is another's
		}
	}()
	sent := n.send("attach "+strconv.Itoa(pid), int(user.Fd()), int(net.Fd()), int(filter.Fd()))
	if _, err := n.checked(); err != nil { // why there is nobody to send to, for one
		return nil, err
	}
	if sent != nil {
		return nil, sent
	}
	if _, err := n.answer(); err != nil {
		return nil, err
	}
	return func() (json.RawMessage, error) {
		record, err := n.ask("detach")
		return json.RawMessage(record), err
	}, nil
}

// checked reads what the sibling says to prepare, if that has not been read.
func (n *Network) checked() (string, error) {
	if !n.checking {
		return "", nil
	}
	n.checking = false
	// Not whether it was started, at first: package syscall waits for the end of
	// a program of which it cannot learn that it runs.
	text, err := n.answer()
	if !errors.Is(err, errUnanswered) {
		return text, err
	}
	s := <-n.begun
	n.begun <- s // Close asks again
	return "", cmp.Or(s.err, err)
}

var errUnanswered error = &Error{text: "jailrun-net ended without an answer"}

// ask sends a request and waits for its answer. The sibling bounds its own
// patience; if it dies, the socket ends.
func (n *Network) ask(request string, fds ...int) (string, error) {
	if err := n.send(request, fds...); err != nil {
		return "", err
	}
	return n.answer()
}

func (n *Network) send(request string, fds ...int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(n.socket, []byte(request), oob, nil, unix.MSG_NOSIGNAL); err != nil {
		return &Error{text: "jailrun-net has ended: " + err.Error()}
	}
	return nil
}

func (n *Network) answer() (string, error) {
	read := func(buf []byte, flags int) (int, error) {
		for {
			size, _, err := unix.Recvfrom(n.socket, buf, flags)
			if !errors.Is(err, unix.EINTR) {
				return size, os.NewSyscallError("recvfrom", err)
			}
		}
	}
	size, err := read(nil, unix.MSG_PEEK|unix.MSG_TRUNC)
	if err != nil {
		return "", err
	}
	if size == 0 {
		return "", errUnanswered
	}
	buf := make([]byte, size)
	if _, err := read(buf, 0); err != nil {
		return "", err
	}
	return parseAnswer(string(buf))
}

// parseAnswer reads "ok", or an error with its errno, path and hint.
func parseAnswer(s string) (string, error) {
	kind, rest, _ := strings.Cut(s, "\x00")
	if kind == "ok" {
		return rest, nil
	}
	parts := strings.SplitN(rest, "\x00", 4)
	if kind != "error" || len(parts) != 4 {
		return "", &Error{text: "jailrun-net gave no answer that is understood"}
	}
	e := &Error{text: parts[3], hint: parts[2]}
	if errno, err := strconv.Atoi(parts[0]); err == nil && errno > 0 && parts[1] != "" {
		return "", &os.PathError{Op: "open", Path: parts[1], Err: unix.Errno(errno)}
	}
	return "", e
}

// Close lets the sibling end: it waits for the helpers, which takes the kernel 20
// ms and more, and ends itself. Nobody waits for that.
func (n *Network) Close() error {
	if n.socket >= 0 {
		_ = unix.Close(n.socket)
		n.socket = -1
	}
	if n.begun != nil {
		if s := <-n.begun; s.err == nil {
			go reap(s.pid)
		}
		n.begun = nil
	}
	return nil
}

func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
