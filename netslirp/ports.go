package netslirp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/rootless-containers/rootlesskit/v3/pkg/port"
	ports "github.com/rootless-containers/rootlesskit/v3/pkg/port/slirp4netns"
)

// publish opens the ports on the host, by rootlesskit's driver over the socket
// at api, which slirp4netns listens on.
func publish(ctx context.Context, api string, list []Port, said *tail) error {
	d, err := ports.NewParentDriver(said, api)
	if err != nil {
		return err
	}
	for _, p := range list {
		_, err := d.AddPort(ctx, port.Spec{
			Proto: p.Proto.String(), ParentIP: p.IP.String(), ParentPort: int(p.Host), ChildIP: jobIP.String(), ChildPort: int(p.Job),
		})
		if err != nil {
			return fmt.Errorf("publish %s: %w", p, err)
		}
	}
	return nil
}

// checkFree says by name which port cannot be had: slirp4netns' own answer does
// not say why.
func checkFree(list []Port) error {
	for _, p := range list {
		addr := net.JoinHostPort(p.IP.String(), strconv.Itoa(int(p.Host)))
		var l interface{ Close() error }
		var err error
		if p.Proto == UDP {
			l, err = net.ListenPacket("udp4", addr)
		} else {
			l, err = net.Listen("tcp4", addr)
		}
		if err != nil {
			if call, ok := errors.AsType[*os.SyscallError](err); ok {
				err = call.Err
			}
			return &hintError{fmt.Errorf("publish %s: the host's port %s cannot be had: %w", p, addr, err), "choose another port; ss -lntup shows who has it"}
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}
