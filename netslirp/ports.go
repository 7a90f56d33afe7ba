package netslirp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
)

// A Publisher opens the ports of list on the host, for a job that has the address
// job, over the socket api that slirp4netns listens on; said takes what is worth
// a word in an error. Package netslirp/ports has one.
type Publisher func(ctx context.Context, api string, job netip.Addr, list []Port, said io.Writer) error

var errNoPublisher = errors.New("there is nobody to publish ports: Config.Publish is not set; want ports.Publish of package netslirp/ports")

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
