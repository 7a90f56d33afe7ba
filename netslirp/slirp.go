package netslirp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/rootless-containers/rootlesskit/v3/pkg/api"
	"github.com/rootless-containers/rootlesskit/v3/pkg/messages"
	"github.com/rootless-containers/rootlesskit/v3/pkg/network"
	"golang.org/x/sys/unix"
)

// mtu is the largest that slirp4netns takes: fewer, larger packets.
const mtu = 65520

// A slirpDriver starts slirp4netns on namespaces that it is given as
// descriptors. Unlike rootlesskit's own driver it runs no other program, makes
// the device and its addresses in the same process, and knows no pid, which
// could be another's by the time it is used.
//
// Decision: its process is forked when the network is prepared and waits for the
// namespaces, so that neither the fork nor our way to it is between them and the
// start of slirp4netns, which takes 3 ms.
type slirpDriver struct {
	user, net *os.File // for ConfigureNetwork

	helper *helper
	spaces *os.File // the helper waits at the other end; nil once it has been told
	ready  *os.File // a byte comes when the device is up
	exit   *os.File // slirp4netns ends when this pipe does, whatever ends us
	dns    bool
}

// A slirpConfig is what slirp4netns is told.
type slirpConfig struct {
	group    *os.File // the helper's, or nil
	api      string   // path of slirp4netns' own socket, for ports; "" for none
	dns      bool
	loopback bool // the host's may be reached, as far as the rules let it
}

var _ network.ParentDriver = (*slirpDriver)(nil)

// Info describes the network.
func (d *slirpDriver) Info(context.Context) (*api.NetworkDriverInfo, error) {
	info := &api.NetworkDriverInfo{Driver: string(Slirp), ChildIP: net.IP(jobIP.AsSlice())}
	if d.dns {
		info.DNS = []net.IP{net.IP(dnsIP.AsSlice())}
	}
	return info, nil
}

// MTU is that of the device.
func (d *slirpDriver) MTU() int { return mtu }

// ConfigureNetwork gives slirp4netns the driver's namespaces and waits until the
// device is up. It uses none of its arguments.
func (d *slirpDriver) ConfigureNetwork(int, string, string) (*messages.ParentInitNetworkDriverCompleted, func() error, error) {
	if err := d.give(d.user, d.net); err != nil {
		return nil, nil, err
	}
	if err := d.await(); err != nil {
		return nil, nil, err
	}
	msg := &messages.ParentInitNetworkDriverCompleted{Dev: "tap0", IP: jobIP.String(), Netmask: 24, Gateway: gatewayIP.String(), MTU: mtu}
	if d.dns {
		msg.DNS = []string{dnsIP.String()}
	}
	return msg, d.stop, nil
}

// newSlirp forks the process that becomes slirp4netns.
func newSlirp(c slirpConfig) (*slirpDriver, error) {
	path, err := findHelper("slirp4netns")
	if err != nil {
		return nil, err
	}
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer readyEnd.Close()
	exitEnd, exit, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, ready.Close())
	}
	defer exitEnd.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("socketpair", err), ready.Close(), exit.Close())
	}
	spaces, spacesEnd := os.NewFile(uintptr(pair[0]), "spaces"), os.NewFile(uintptr(pair[1]), "spaces")
	defer spacesEnd.Close()
	h, err := start(command{
		name: "slirp4netns", path: path, args: c.args(), group: c.group, files: []*os.File{readyEnd, exitEnd},
		spaces: spacesEnd, asRoot: os.Geteuid() == 0,
	})
	if err != nil {
		return nil, errors.Join(err, ready.Close(), exit.Close(), spaces.Close())
	}
	return &slirpDriver{helper: h, spaces: spaces, ready: ready, exit: exit, dns: c.dns}, nil
}

// args are the arguments of slirp4netns, which gets the network namespace as
// descriptor 5 and the user namespace as 6.
func (c *slirpConfig) args() []string {
	args := []string{
		"--configure", "--mtu=" + strconv.Itoa(mtu), "--enable-sandbox", "--enable-seccomp",
		"--ready-fd=3", "--exit-fd=4", "--netns-type=path",
	}
	if !c.loopback {
		args = append(args, "--disable-host-loopback")
	}
	if !c.dns {
		args = append(args, "--disable-dns")
	}
	if c.api != "" {
		args = append(args, "--api-socket="+c.api)
	}
	// As root of the job's user namespace, in the host's mounts: its own sandbox,
	// an empty root, needs an id 0, and finds it by itself only with a pid
	// (slirp4netns 1.2, nsenter in main.c). Host root has one.
	if os.Geteuid() == 0 {
		args = append(args, "--userns-path=/proc/self/fd/6")
	}
	return append(args, "/proc/self/fd/5", "tap0")
}

// give hands over the namespaces, for which slirp4netns waits.
func (d *slirpDriver) give(user, net *os.File) error {
	spaces := d.spaces
	d.spaces = nil
	defer spaces.Close()
	if err := unix.Sendmsg(int(spaces.Fd()), []byte{0}, unix.UnixRights(int(net.Fd()), int(user.Fd())), nil, unix.MSG_NOSIGNAL); err != nil {
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			<-d.helper.done // it ends, or has ended
			return errors.Join(errors.New(d.helper.ended()), d.stop())
		}
		return errors.Join(os.NewSyscallError("sendmsg", err), d.stop())
	}
	return nil
}

// await waits until the device is up, after give.
func (d *slirpDriver) await() error {
	if err := d.helper.awaitReady(d.ready, startPatience); err != nil {
		return errors.Join(err, d.stop())
	}
	return nil
}

func (d *slirpDriver) stop() error {
	d.helper.stop()
	err := errors.Join(d.ready.Close(), d.exit.Close())
	if d.spaces != nil {
		err = errors.Join(err, d.spaces.Close())
	}
	return err
}

func (d *slirpDriver) kill()         { d.helper.kill() }
func (d *slirpDriver) settle()       { d.helper.settle() }
func (d *slirpDriver) ended() string { return d.helper.ended() }

// needs says what a helper that does not start may lack.
func needs(name string) string {
	if name == "pasta" {
		return "pasta needs passt 2023 or later, /dev/net/tun open to this user, and a route to the outside; --net slirp needs no route"
	}
	return "slirp4netns 1.1 or later is needed, and /dev/net/tun open to this user: jailrun doctor"
}

// awaitReady waits for what a helper writes when its device is up.
func (h *helper) awaitReady(ready *os.File, patience time.Duration) error {
	if err := ready.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var b [1]byte
	_, err := ready.Read(b[:])
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded) && h.ended() == "":
		said := " and said nothing"
		if text := h.said.String(); text != "" {
			said = "; it said: " + text
		}
		return &hintError{fmt.Errorf("%s was not ready within %v%s", h.name, patience, said), "see whether it starts by itself: " + h.name + " --version"}
	}
	h.stop() // the pipe has ended, so it is ending
	return &hintError{errors.New(h.ended()), needs(h.name)}
}
