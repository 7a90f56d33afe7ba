package netslirp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rootless-containers/rootlesskit/v3/pkg/network"
	slirp "github.com/rootless-containers/rootlesskit/v3/pkg/network/slirp4netns"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
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
	pidfd     *os.File // of slirp4netns
	child     int      // its pid, as long as it is not reaped: rootlesskit does that in cleanup
}

// newRootlesskit makes the driver; said takes what slirp4netns says.
func newRootlesskit(said *tail, apiSocket string, loopback bool) (network.ParentDriver, error) {
	logrus.SetOutput(said) // rootlesskit logs to the process's own logger
	path, err := findHelper("slirp4netns")
	if err != nil {
		return nil, err
	}
	// It asks slirp4netns what it can, and would wait for the answer for ever.
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	if err := exec.CommandContext(ctx, path, "--version").Run(); err != nil {
		return nil, fmt.Errorf("slirp4netns --version: %w", errors.Join(err, ctx.Err()))
	}
	return slirp.NewParentDriver(said, path, mtu, nil, "tap0", !loopback, apiSocket, true, true, false)
}

// configure starts the driver and gives the device its addresses.
func (d *rootlesskitDriver) configure() error {
	hangs := time.AfterFunc(startPatience, func() {
		if d.find() == nil {
			_ = unix.PidfdSendSignal(int(d.pidfd.Fd()), unix.SIGKILL, nil, 0)
		}
	})
	msg, cleanup, err := d.ConfigureNetwork(d.pid, "", "")
	if !hangs.Stop() {
		err = errors.Join(fmt.Errorf("slirp4netns was not ready within %v", startPatience), err)
	}
	if cleanup != nil {
		d.cleanup = cleanup
	}
	if err != nil {
		return errors.Join(err, d.stop())
	}
	if err := d.adopt(); err != nil {
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

// adopt bounds slirp4netns as command.program does.
func (d *rootlesskitDriver) adopt() error {
	if err := d.find(); err != nil {
		return err
	}
	for _, b := range bounds {
		if err := unix.Prlimit(d.child, b.resource, b.own(), nil); err != nil {
			return os.NewSyscallError("prlimit", err)
		}
	}
	return nil
}

// find finds slirp4netns, which rootlesskit keeps for itself. Its command line
// ends with the pid that it was given.
func (d *rootlesskitDriver) find() error {
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	end := []byte(fmt.Sprintf("\x00%d\x00tap0\x00", d.pid))
	for _, path := range list {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.HasSuffix(line, end) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		// Only a child of ours can be asked for so; its pid is its own till cleanup.
		if err != nil || unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) != nil {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return os.NewSyscallError("pidfd_open", err)
		}
		d.pidfd, d.child = os.NewFile(uintptr(fd), "pidfd"), pid
		return nil
	}
	return errors.New("slirp4netns, as rootlesskit started it, is not found in /proc")
}

func (d *rootlesskitDriver) stop() error {
	if d.cleanup == nil {
		return nil
	}
	cleanup := d.cleanup
	d.cleanup = nil
	err := cleanup()
	if d.pidfd != nil {
		err = errors.Join(err, d.pidfd.Close())
	}
	return err
}

// kill waits, too: rootlesskit has one way to end it.
func (d *rootlesskitDriver) kill() { _ = d.stop() }

func (d *rootlesskitDriver) settle() { settle(d.child, nil) }

// ended cannot say how: rootlesskit waits for the process.
func (d *rootlesskitDriver) ended() string {
	if hasEnded(d.pidfd) {
		return "slirp4netns: it ended"
	}
	return ""
}
