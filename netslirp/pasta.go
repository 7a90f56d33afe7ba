package netslirp

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A pastaDriver runs pasta, in the foreground.
//
// Decision: not rootlesskit's driver. That one lets pasta become a daemon, by
// pid; nothing ends it when its starter is killed, and the namespace, which it
// holds itself, stays with it.
type pastaDriver struct{ *helper }

// startPasta starts pasta and waits until the device is up.
//
// It gets the namespaces by pid: it joins the user namespace first, from where
// it can follow no link of ours in /proc, and newer versions close what they
// inherit. Init waits for us and is reaped by the runner only, so its pid cannot
// become another's meanwhile.
func startPasta(pid int, group *os.File, dns bool, ports []Port) (running, error) {
	path, err := findHelper("pasta")
	if err != nil {
		return nil, err
	}
	// A FIFO, as its file for its pid: it is written when the device is up.
	dir, err := privateDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	fifo := dir + "/pid"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: fifo, Err: err}
	}
	ready, err := os.OpenFile(fifo, os.O_RDWR, 0) // O_RDWR: an open for reading would wait for a writer
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	args := []string{
		"--foreground", "--quiet", "--config-net", "--ipv4-only", "--ns-ifname=tap0", "--mtu=" + strconv.Itoa(mtu),
		"--address=" + jobIP.String(), "--netmask=24", "--gateway=" + gatewayIP.String(), "--no-map-gw",
		"--udp-ports=none", "--tcp-ns=none", "--udp-ns=none", "--no-netns-quit",
		fmt.Sprintf("--userns=/proc/%d/ns/user", pid), fmt.Sprintf("--netns=/proc/%d/ns/net", pid),
		"--pid=" + fifo,
	}
	if dns {
		args = append(args, "--dns-forward="+dnsIP.String())
	}
	args = append(args, publishedBy(ports)...)
	h, err := start(command{name: "pasta", path: path, args: args, group: group, tied: true})
	if err != nil {
		return nil, err
	}
	d := pastaDriver{h}
	// The FIFO has no end of file, as we may write it too: the end of pasta must
	// not be missed.
	go func() {
		<-h.done
		_ = ready.SetReadDeadline(time.Now())
	}()
	if err := d.awaitReady(ready, startPatience); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// checkPasta refuses ports that pasta does not publish in full. It ties a TCP
// connection from the host's loopback to one of the job's. By UDP the answers
// are lost when the two ports differ (2023_03_09), and from its own address on a
// LAN the host cannot reach the job.
func checkPasta(ports []Port) error {
	for _, p := range ports {
		if p.Proto != TCP || !p.IP.IsLoopback() {
			return &hintError{fmt.Errorf("publish %s: pasta publishes TCP ports on the host's loopback only", p), "--net slirp publishes any port"}
		}
	}
	return nil
}

// publishedBy are the flags of pasta for ports; it ends if it cannot listen.
func publishedBy(ports []Port) []string {
	if len(ports) == 0 {
		return []string{"--tcp-ports=none"}
	}
	var flags []string
	for _, p := range ports {
		flags = append(flags, fmt.Sprintf("--tcp-ports=%s/%d:%d", p.IP, p.Host, p.Job))
	}
	return flags
}

func (d pastaDriver) stop() error {
	d.helper.stop()
	return nil
}
