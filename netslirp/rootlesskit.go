package netslirp

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/rootless-containers/rootlesskit/v3/pkg/network"
	slirp "github.com/rootless-containers/rootlesskit/v3/pkg/network/slirp4netns"
	"github.com/sirupsen/logrus"
)

// A rootlesskitDriver is rootlesskit's own driver of slirp4netns. It enters
// init's namespaces by pid and runs ip(8) there: init still waits in the host's
// root then, so that it is the host's ip. The addresses, which rootlesskit sets
// from inside its child, are set by descriptor.
type rootlesskitDriver struct {
	network.ParentDriver
	pid       int
	user, net *os.File
	cleanup   func() error
}

// newRootlesskit makes the driver; said takes what slirp4netns says.
func newRootlesskit(said *tail, apiSocket string, loopback bool) (network.ParentDriver, error) {
	logrus.SetOutput(said) // rootlesskit logs to the process's own logger
	path, err := findHelper("slirp4netns")
	if err != nil {
		return nil, err
	}
	return slirp.NewParentDriver(said, path, mtu, nil, "tap0", !loopback, apiSocket, true, true, false)
}

// configure starts the driver and gives the device its addresses.
func (d *rootlesskitDriver) configure() error {
	msg, cleanup, err := d.ConfigureNetwork(d.pid, "", "")
	if cleanup != nil {
		d.cleanup = cleanup
	}
	if err != nil {
		return errors.Join(err, d.stop())
	}
	if err := d.address(msg.IP, msg.Netmask, msg.Gateway, msg.Dev); err != nil {
		return errors.Join(err, d.stop())
	}
	return nil
}

// address runs ip(8) of the host's root in the namespaces, which it enters by
// descriptor.
func (d *rootlesskitDriver) address(ip string, bits int, gateway, dev string) error {
	nsenter, err := findHelper("nsenter")
	if err != nil {
		return err
	}
	tool, err := findHelper("ip")
	if err != nil {
		return err
	}
	cmd := exec.Command(nsenter, "--preserve-credentials", "--user=/proc/self/fd/3", "--net=/proc/self/fd/4", tool, "-batch", "-")
	cmd.ExtraFiles = []*os.File{d.user, d.net}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin = strings.NewReader(fmt.Sprintf("address add %s/%d dev %s\nroute add default via %s dev %s\n", ip, bits, dev, gateway, dev))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (d *rootlesskitDriver) stop() error {
	if d.cleanup == nil {
		return nil
	}
	cleanup := d.cleanup
	d.cleanup = nil
	return cleanup()
}

// kill waits, too: rootlesskit has one way to end it.
func (d *rootlesskitDriver) kill() { _ = d.stop() }

// settle cannot look.
func (d *rootlesskitDriver) settle() {}

// ended cannot say: rootlesskit keeps the process for itself.
func (d *rootlesskitDriver) ended() string { return "" }
