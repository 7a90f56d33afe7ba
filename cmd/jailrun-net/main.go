// jailrun-net gives a job of jailrun's a user-mode network. It is a program of
// its own so that jailrun carries no network code: jailrun starts it with one
// end of a socket as descriptor 3 and asks for what package netslirp does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/netslirp"
)

// socket is our end of the runner's socket.
const socket = 3

const usage = `jailrun-net is started by jailrun --net slirp; it has no use of its own.
  jailrun --net slirp -- CMD            a network without the host, its LAN and private ranges
  jailrun --net slirp --net-allow …     only what the list names
  jailrun help flags                    every flag of the network
`

func main() {
	if len(os.Args) < 2 || os.Args[1] != "serve" {
		fmt.Fprint(os.Stderr, usage)
		if len(os.Args) == 2 && (os.Args[1] == "help" || os.Args[1] == "--help" || os.Args[1] == "-h") {
			return
		}
		os.Exit(125)
	}
	// We were executed by descriptor, whose number ps would show.
	_ = os.WriteFile("/proc/self/comm", []byte("jailrun-net"), 0)
	if err := serve(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "jailrun-net:", err)
		os.Exit(125)
	}
}

// serve answers the runner's requests, one datagram each, until its end of the
// socket is closed: whatever becomes of the runner, the helpers end with us.
func serve(asked []string) error {
	unix.CloseOnExec(socket)
	config, wrong := parse(asked)
	s := &server{network: netslirp.New(config), wrong: wrong}
	for {
		var buf, oob [256]byte
		n, oobn, _, _, err := unix.Recvmsg(socket, buf[:], oob[:], unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n == 0 || err != nil {
			return s.end(err)
		}
		answer, err := s.answer(string(buf[:n]), oob[:oobn])
		if err := reply(answer, err); err != nil {
			return s.end(err)
		}
	}
}

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

// A server keeps what the requests of one run have made.
type server struct {
	network *netslirp.Network
	wrong   error // with what was asked
	detach  func() (json.RawMessage, error)
}

// answer does what one request asks for: prepare, attach PID, detach.
func (s *server) answer(request string, oob []byte) (string, error) {
	verb, arg, _ := strings.Cut(request, " ")
	switch verb {
	case "prepare":
		if s.wrong != nil {
			return "", s.wrong
		}
		hosts, resolv, err := s.network.Prepare(context.Background(), nil) // our own group is the helpers'
		return hosts + "\x00" + resolv, err
	case "attach":
		return "", s.attach(arg, oob)
	case "detach":
		record, err := s.leave()
		return string(record), err
	}
	return "", fmt.Errorf("unknown request %q", verb)
}

func (s *server) attach(arg string, oob []byte) error {
	var pid int
	if _, err := fmt.Sscan(arg, &pid); err != nil {
		return err
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return fmt.Errorf("attach came without descriptors: %w", err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return err
	}
	var files []*os.File
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "namespace")
		defer f.Close()
		files = append(files, f)
	}
	if len(files) != 3 {
		return fmt.Errorf("attach came with %d descriptors", len(files))
	}
	s.detach, err = s.network.Attach(context.Background(), pid, files[0], files[1], files[2])
	return err
}

func (s *server) leave() (json.RawMessage, error) {
	if s.detach == nil {
		return nil, errors.New("not attached")
	}
	detach := s.detach
	s.detach = nil
	return detach()
}

// end ends the helpers.
func (s *server) end(err error) error {
	if s.detach != nil {
		_, detachErr := s.leave()
		err = errors.Join(err, detachErr)
	}
	return errors.Join(err, s.network.Close())
}

// reply sends an answer, or an error with its hint.
func reply(answer string, failed error) error {
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
	return os.NewSyscallError("send", unix.Sendto(socket, []byte(msg), unix.MSG_NOSIGNAL, nil))
}
