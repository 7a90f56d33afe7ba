// Package netserver is the siblings jailrun-net and jailrun-publish: they give a
// job of jailrun's a user-mode network, so that jailrun carries no network code.
// jailrun starts them with one end of a socket as descriptor 3 and asks for what
// package netslirp does.
//
// Decision: two programs, one of which publishes ports. Rootlesskit's port
// drivers bring net/http along, which costs the start of a program 0.4 ms, and
// every job with a network waits for that.
package netserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/netslirp"
)

// socket is our end of the runner's socket.
const socket = 3

const usage = `This program is started by jailrun --net slirp; it has no use of its own.
  jailrun --net slirp -- CMD            a network without the host, its LAN and private ranges
  jailrun --net slirp --net-allow …     only what the list names
  jailrun help flags                    every flag of the network
`

// Main is the main function of both. The one that has publish publishes ports.
func Main(publish netslirp.Publisher) {
	if len(os.Args) < 2 || os.Args[1] != "serve" {
		fmt.Fprint(os.Stderr, usage)
		if len(os.Args) == 2 && (os.Args[1] == "help" || os.Args[1] == "--help" || os.Args[1] == "-h") {
			return
		}
		os.Exit(125)
	}
	// We were executed by descriptor, whose number ps would show.
	_ = os.WriteFile("/proc/self/comm", []byte("jailrun-net"), 0)
	if err := serve(os.Args[2:], publish); err != nil {
		fmt.Fprintln(os.Stderr, "jailrun-net:", err)
		os.Exit(125)
	}
}

// serve answers the runner's requests, one datagram each, until its end of the
// socket is closed: whatever becomes of the runner, the helpers end with us.
func serve(asked []string, publish netslirp.Publisher) error {
	unix.CloseOnExec(socket)
	config, wrong := parse(asked)
	config.Publish = publish
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

// A server keeps what the requests of one run have made.
type server struct {
	network  *netslirp.Network
	wrong    error // with what was asked
	prepared bool
	detach   func() (json.RawMessage, error)
}

// answer does what one request asks for.
func (s *server) answer(text string, oob []byte) (string, error) {
	r, err := parseRequest(text, oob)
	for _, fd := range r.fds {
		f := os.NewFile(uintptr(fd), "namespace")
		defer f.Close()
		r.files = append(r.files, f)
	}
	if err != nil {
		return "", err
	}
	switch r.verb {
	case "prepare":
		if s.wrong != nil {
			return "", s.wrong
		}
		hosts, resolv, err := s.network.Prepare(context.Background(), nil) // our own group is the helpers'
		s.prepared = err == nil
		return hosts + "\x00" + resolv, err
	case "attach":
		if !s.prepared { // the runner reads the answer to prepare, which says why
			return "", errors.New("not prepared")
		}
		s.detach, err = s.network.Attach(context.Background(), r.pid, r.files[0], r.files[1], r.files[2])
		return "", err
	}
	record, err := s.leave()
	return string(record), err
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
