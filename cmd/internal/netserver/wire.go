package netserver

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/netslirp"
)

// parse reads what was asked: the flags of jailrun, one NAME=VALUE a word.
func parse(asked []string) (c netslirp.Config, err error) {
	for _, word := range asked {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "net":
			c.Driver, err = netslirp.ParseDriver(value)
		case "net-allow":
			if value == "dns" {
				c.DNS = true
				break
			}
			var a netslirp.Allow
			a, err = netslirp.ParseAllow(value)
			c.Allow = append(c.Allow, a)
		case "publish":
			var p netslirp.Port
			p, err = netslirp.ParsePort(value)
			c.Ports = append(c.Ports, p)
		case "net-rate":
			c.Rate, err = strconv.ParseUint(value, 10, 64)
		default:
			err = errors.New("is not understood: jailrun and jailrun-net are of different versions")
		}
		if err != nil {
			return c, fmt.Errorf("--%s: %w", name, err)
		}
	}
	return c, nil
}

// A request is one datagram of the runner's: prepare, attach PID, detach.
type request struct {
	verb  string
	pid   int   // of init, for attach
	fds   []int // its user and its network namespace and a socket of that; ours to close, also with an error
	files []*os.File
}

func parseRequest(text string, oob []byte) (r request, err error) {
	if r.fds, err = descriptors(oob); err != nil {
		return r, err
	}
	verb, arg, hasArg := strings.Cut(text, " ")
	switch {
	case verb == "attach" && hasArg:
		if r.pid, err = strconv.Atoi(arg); err != nil || r.pid <= 0 {
			return r, fmt.Errorf("attach: %q is no process", arg)
		}
		if len(r.fds) != 3 {
			return r, fmt.Errorf("attach came with %d descriptors", len(r.fds))
		}
	case (verb == "prepare" || verb == "detach") && !hasArg:
	default:
		return r, fmt.Errorf("unknown request %q", text)
	}
	r.verb = verb
	return r, nil
}

// descriptors returns the ones that came with a datagram.
func descriptors(oob []byte) (fds []int, err error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	for i := range msgs {
		if len(msgs[i].Data)%4 != 0 { // ParseUnixRights would panic
			return fds, os.NewSyscallError("recvmsg", unix.EINVAL)
		}
		more, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return fds, os.NewSyscallError("recvmsg", err)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

// reply sends an answer, or an error with its hint.
func reply(answer string, failed error) error {
	return os.NewSyscallError("send", unix.Sendto(socket, []byte(answerText(answer, failed)), unix.MSG_NOSIGNAL, nil))
}

// answerText is "ok" and an answer, or "error" with its errno, path, hint and text.
func answerText(answer string, failed error) string {
	msg := "ok\x00" + answer
	if failed != nil {
		hint := ""
		if own, ok := errors.AsType[interface {
			error
			Hint() string
		}](failed); ok {
			hint = own.Hint()
		}
		var errno unix.Errno
		path := ""
		if onPath, ok := errors.AsType[*os.PathError](failed); ok {
			path = onPath.Path
		}
		errors.As(failed, &errno)
		msg = fmt.Sprintf("error\x00%d\x00%s\x00%s\x00%s", errno, path, hint, failed)
	}
	return msg
}
