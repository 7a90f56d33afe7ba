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
)

// mtu is the largest that slirp4netns takes: fewer, larger packets.
const mtu = 65520

// A slirpDriver starts slirp4netns on namespaces that it is given as
// descriptors. Unlike rootlesskit's own driver it runs no other program, makes
// the device and its addresses in the same process, and knows no pid, which
// could be another's by the time it is used.
type slirpDriver struct {
	user, net *os.File
	group     *os.File // the helper's, or nil
	api       string   // path of slirp4netns' own socket, for ports; "" for none
	dns       bool
	loopback  bool // the host's may be reached, as far as the rules let it

	helper *helper
	ready  *os.File // a byte comes when the device is up
	exit   *os.File // slirp4netns ends when this pipe does, whatever ends us
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

// ConfigureNetwork starts slirp4netns and waits until the device is up. It uses
// neither of its arguments: the namespaces are the driver's.
func (d *slirpDriver) ConfigureNetwork(int, string, string) (*messages.ParentInitNetworkDriverCompleted, func() error, error) {
	if err := d.begin(); err != nil {
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

// await waits until the device is up, after begin.
func (d *slirpDriver) await() error {
	defer d.ready.Close()
	if err := d.helper.awaitReady(d.ready, startPatience); err != nil {
		return errors.Join(err, d.stop())
	}
	return nil
}

// begin starts slirp4netns.
func (d *slirpDriver) begin() error {
	path, err := findHelper("slirp4netns")
	if err != nil {
		return err
	}
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyEnd.Close()
	exitEnd, exit, err := os.Pipe()
	if err != nil {
		return errors.Join(err, ready.Close())
	}
	defer exitEnd.Close()
	args := []string{
		"--configure", "--mtu=" + strconv.Itoa(mtu), "--enable-sandbox", "--enable-seccomp",
		"--ready-fd=3", "--exit-fd=4", "--netns-type=path",
	}
	if !d.loopback {
		args = append(args, "--disable-host-loopback")
	}
	if !d.dns {
		args = append(args, "--disable-dns")
	}
	if d.api != "" {
		args = append(args, "--api-socket="+d.api)
	}
	// As root of the job's user namespace, in the host's mounts: its own sandbox,
	// an empty root, needs an id 0, and finds it by itself only with a pid
	// (slirp4netns 1.2, nsenter in main.c). Host root has one.
	enter := d.user
	if os.Geteuid() == 0 {
		enter = nil
		args = append(args, "--userns-path=/proc/self/fd/6")
	}
	args = append(args, "/proc/self/fd/5", "tap0")
	d.helper, err = start(command{
		name: "slirp4netns", path: path, args: args, group: d.group, user: enter,
		files: []*os.File{readyEnd, exitEnd, d.net, d.user},
	})
	if err != nil {
		return errors.Join(err, ready.Close(), exit.Close())
	}
	d.ready, d.exit = ready, exit
	return nil
}

func (d *slirpDriver) stop() error {
	d.helper.stop()
	return d.exit.Close()
}

func (d *slirpDriver) kill()         { d.helper.kill() }
func (d *slirpDriver) settle()       { d.helper.settle() }
func (d *slirpDriver) ended() string { return d.helper.ended() }

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
	return &hintError{errors.New(h.ended()), "slirp4netns 1.1 or later is needed (or passt 2023), and /dev/net/tun open to this user: jailrun doctor"}
}
