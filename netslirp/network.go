package netslirp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/google/nftables"
)

// Config is what is asked of a network. The zero value is a network in which
// everything may be reached but the host, its LAN and other special places.
type Config struct {
	Driver Driver // "" means Slirp
	// Allow lists what may be reached, if it is not empty; everything else is
	// then refused, and the names of the list are all that resolve.
	Allow []Allow
	// DNS lets the resolver of the network be asked although there is a list:
	// whoever may ask for names may send data in them. Without Allow it is the
	// only entry of the list.
	DNS   bool
	Ports []Port
	// Publish opens Ports, but for pasta, which does it itself; nil is an error
	// where there are any.
	Publish Publisher
	// Rate bounds the bytes a second, each way; 0 does not.
	Rate uint64
}

// A Network makes a user-mode network for one run at a time. It implements the
// Network of package sandbox. Its methods must not be called at the same time.
type Network struct {
	config Config
	group  *os.File
	find   lookup
	wall   wall
	api    string // path of slirp4netns' own socket, for ports; "" for none
	slirp  *slirpDriver
	ending []running // killed, and not yet waited for
}

// New returns a network. Nothing is checked or started before Prepare.
func New(c Config) *Network {
	if c.Driver == "" {
		c.Driver = Slirp
	}
	return &Network{config: c, find: lookupIPv4}
}

func lookupIPv4(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
}

// Prepare checks what was asked and resolves the names of the list. hosts are
// lines for /etc/hosts, resolv is the job's /etc/resolv.conf. Helpers run in
// group, the directory of a cgroup, if it is not nil; it stays the caller's.
func (n *Network) Prepare(ctx context.Context, group *os.File) (hosts, resolv string, err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := n.check(); err != nil {
		return "", "", err
	}
	guarded, err := protectedRanges()
	if err != nil {
		return "", "", err
	}
	c := &n.config
	n.wall = wall{guarded: guarded, listed: len(c.Allow) > 0 || c.DNS, dns: c.DNS || len(c.Allow) == 0, ports: c.Ports, rate: c.Rate, slirp: c.Driver != Pasta}
	if n.wall.rules, hosts, err = pin(ctx, c.Allow, n.find, guarded); err != nil {
		return "", "", err
	}
	if c.Driver == Pasta && n.wall.opensLoopback() {
		return "", "", &hintError{fmt.Errorf("%s is the host's loopback, which pasta does not show", gatewayIP), "--net slirp does"}
	}
	if err := n.begin(group); err != nil {
		return "", "", err
	}
	resolv = "# names are those of /etc/hosts\n"
	if n.wall.dns {
		resolv = "nameserver " + dnsIP.String() + "\n"
	}
	return hosts, resolv, nil
}

// begin does what needs no namespace of the job's yet. Close undoes it.
func (n *Network) begin(group *os.File) error {
	if group != nil {
		fd, err := unix.FcntlInt(group.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return os.NewSyscallError("fcntl", err)
		}
		n.group = os.NewFile(uintptr(fd), group.Name())
	}
	if len(n.config.Ports) > 0 && n.config.Driver != Pasta { // slirp4netns is told over a socket
		dir, err := privateDir()
		if err != nil {
			return err
		}
		n.api = dir + "/api"
	}
	if n.config.Driver != Slirp {
		return nil
	}
	var err error
	n.slirp, err = newSlirp(slirpConfig{group: n.group, api: n.api, dns: n.wall.dns, loopback: n.wall.showsLoopback()})
	return err
}

// UsesInit reports whether Attach needs its pid argument: pasta and rootlesskit's
// driver enter namespaces by pid, ours does not.
func (n *Network) UsesInit() bool { return n.config.Driver != Slirp }

// check finds out early what the launch would trip over.
func (n *Network) check() error {
	c := &n.config
	if c.Driver != Slirp && os.Geteuid() == 0 {
		// What enters a job's namespaces by pid does so as itself; a run by root
		// maps others. Nor is there anybody to give slirp4netns mounts of its own
		// here, which it needs of root: see command.program.
		return &hintError{fmt.Errorf("%s has no rights in the namespaces of a job that root runs", c.Driver), "use --net slirp, which works for root, too"}
	}
	program := "slirp4netns"
	if c.Driver == Pasta {
		program = "pasta"
		if err := checkPasta(c.Ports); err != nil {
			return err
		}
	} else if len(c.Ports) > 0 && c.Publish == nil {
		return errNoPublisher
	}
	if _, err := findHelper(program); err != nil {
		return err
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(tun.Close(), checkFree(c.Ports))
}

// A running is what serves an attached network.
type running interface {
	ended() string // how, if it has ended before it was told to
	settle()       // wait until what the job sent is passed on
	kill()         // without waiting for its end
	stop() error   // kill, and wait
}

// Attach configures the namespace net, which the user namespace user owns, and
// sends the rules through filter, a NETLINK_NETFILTER socket made in it; all
// three stay the caller's. pid is used by pasta and by rootlesskit's driver. The caller
// calls detach once: it kills the helpers and returns the [Record].
func (n *Network) Attach(ctx context.Context, pid int, user, net, filter *os.File) (detach func() (json.RawMessage, error), err error) {
	if n.slirp != nil {
		if err := n.slirp.give(user, net); err != nil {
			n.slirp = nil
			return nil, err
		}
	}
	var r running
	var both errgroup.Group // the device and the rules do not need each other
	both.Go(func() (err error) {
		r, err = n.connect(ctx, pid, user, net)
		return err
	})
	rules, err := n.raise(filter)
	if err = errors.Join(err, both.Wait()); err == nil {
		return func() (json.RawMessage, error) { return n.detach(r, rules) }, nil
	}
	if r != nil {
		err = errors.Join(err, r.stop())
	}
	if rules != nil {
		err = errors.Join(err, rules.CloseLasting())
	}
	return nil, err
}

// raise puts the rules in force.
func (n *Network) raise(filter *os.File) (*nftables.Conn, error) {
	rules, err := open(filter)
	if err == nil {
		err = n.wall.build(rules)
	}
	if err != nil {
		err = &hintError{fmt.Errorf("nf_tables: %w", err), "the kernel needs nf_tables with inet and reject (sudo modprobe -a nf_tables nft_reject_inet nft_limit)"}
	}
	return rules, err
}

// connect waits until the driver's device is up, and publishes the ports.
func (n *Network) connect(ctx context.Context, pid int, user, net *os.File) (running, error) {
	said := &tail{}
	r, err := n.drive(pid, user, net, said)
	if err == nil && n.api != "" {
		if err = n.config.Publish(ctx, n.api, jobIP, n.config.Ports, said); err != nil {
			err = errors.Join(err, r.stop())
		}
	}
	if err = errors.Join(err, n.removeAPI()); err != nil {
		return nil, err
	}
	return r, nil
}

// removeAPI removes the directory of slirp4netns' socket, if there is one.
func (n *Network) removeAPI() error {
	if n.api == "" {
		return nil
	}
	dir := filepath.Dir(n.api)
	n.api = ""
	return os.RemoveAll(dir)
}

// drive starts the driver, or lets it go on, until its device is up.
func (n *Network) drive(pid int, user, net *os.File, said *tail) (running, error) {
	switch n.config.Driver {
	case SlirpRootlesskit:
		parent, err := newRootlesskit(said, n.api, n.wall.showsLoopback())
		if err != nil {
			return nil, err
		}
		d := &rootlesskitDriver{ParentDriver: parent, pid: pid, user: user, net: net}
		return d, d.configure()
	case Pasta:
		return startPasta(pid, n.group, n.wall.dns, n.config.Ports)
	}
	d := n.slirp
	if d == nil {
		return nil, errors.New("Attach before Prepare")
	}
	n.slirp = nil
	return d, d.await()
}

// detach reads the counters, which live as long as the rules' socket, and kills
// the helpers. Close waits for their end, where they hold no port: the kernel
// takes 20 ms and more to let go of a tap device.
func (n *Network) detach(r running, rules *nftables.Conn) (json.RawMessage, error) {
	rec := Record{Driver: n.config.Driver, Ended: r.ended()}
	switch {
	case n.wall.opensLoopback():
		rec.Note = "the host's loopback is open to the job where the list says " + gatewayIP.String() + ", and closed by nf_tables alone elsewhere"
	case n.wall.answersLoopback():
		rec.Note = "the host's loopback is closed to the job by nf_tables alone: a UDP port is published on it"
	}
	err := rec.read(rules)
	if len(rec.Sent) > 0 {
		r.settle()
		err = rec.read(rules)
	}
	r.kill()
	if len(n.config.Ports) > 0 {
		err = errors.Join(err, r.stop()) // who runs the job again finds them free
	} else {
		n.ending = append(n.ending, r)
	}
	err = errors.Join(err, rules.CloseLasting())
	b, encodeErr := json.Marshal(&rec)
	return b, errors.Join(err, encodeErr)
}

// Close ends what Prepare began, and waits for the helpers' end.
func (n *Network) Close() error {
	err := n.removeAPI()
	if n.slirp != nil {
		n.ending = append(n.ending, n.slirp)
		n.slirp = nil
	}
	for _, r := range n.ending {
		err = errors.Join(err, r.stop())
	}
	n.ending = nil
	if n.group == nil {
		return err
	}
	group := n.group
	n.group = nil
	return errors.Join(err, group.Close())
}
