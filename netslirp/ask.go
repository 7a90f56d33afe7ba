package netslirp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Driver names a user-mode network stack.
type Driver string

// The drivers. Rootlesskit's own drivers enter the job's namespaces by pid and
// run ip(8) there; they are for hosts where ours does not do.
const (
	Slirp            Driver = "slirp"             // slirp4netns, started by us; the zero value means it
	SlirpRootlesskit Driver = "slirp:rootlesskit" // slirp4netns, started by rootlesskit's driver
	Pasta            Driver = "pasta"             // pasta of passt, started by rootlesskit's driver
)

// ParseDriver reads a driver's name.
func ParseDriver(s string) (Driver, error) {
	switch d := Driver(s); d {
	case Slirp, SlirpRootlesskit, Pasta:
		return d, nil
	}
	return "", fmt.Errorf("%q is no network; want %s, %s or %s", s, Slirp, SlirpRootlesskit, Pasta)
}

// Proto is a transport protocol; zero is TCP.
type Proto uint8

// The protocols.
const (
	TCP Proto = iota
	UDP
)

// String returns tcp or udp.
func (p Proto) String() string {
	if p == UDP {
		return "udp"
	}
	return "tcp"
}

func parseProto(s string) (Proto, error) {
	switch s {
	case "tcp":
		return TCP, nil
	case "udp":
		return UDP, nil
	}
	return TCP, fmt.Errorf("%q is no protocol; want tcp or udp", s)
}

// A Port is published: what arrives at the host's port reaches the job's.
type Port struct {
	Proto Proto
	// IP is the host's IPv4 address to listen on. The zero Addr means
	// 127.0.0.1, not all addresses: a job is not to serve a LAN by default.
	IP   netip.Addr
	Host uint16 // 1–65535
	Job  uint16 // 1–65535
}

// ParsePort reads [IP:]HOST:JOB[/udp].
func ParsePort(s string) (Port, error) {
	fail := func(err error) (Port, error) {
		return Port{}, fmt.Errorf("%q: %w; want [IP:]HOST:JOB[/udp], as in 8080:80", s, err)
	}
	p := Port{IP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	rest, proto, ok := strings.Cut(s, "/")
	var err error
	if ok {
		if p.Proto, err = parseProto(proto); err != nil {
			return fail(err)
		}
	}
	parts := strings.Split(rest, ":")
	if len(parts) == 3 {
		if p.IP, err = netip.ParseAddr(parts[0]); err == nil && !p.IP.Is4() {
			err = errors.New("the address must be an IPv4 one")
		}
		if err != nil {
			return fail(err)
		}
		parts = parts[1:]
	}
	if len(parts) != 2 {
		return fail(errors.New("it needs two ports"))
	}
	if p.Host, err = parsePort(parts[0]); err != nil {
		return fail(err)
	}
	if p.Job, err = parsePort(parts[1]); err != nil {
		return fail(err)
	}
	return p, nil
}

// String is the form that ParsePort reads.
func (p Port) String() string { return fmt.Sprintf("%s:%d:%d/%s", p.IP, p.Host, p.Job, p.Proto) }

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port from 1 to 65535", s)
	}
	return uint16(n), nil
}

// An Allow is an entry of the list of what a job may reach.
type Allow struct {
	// Name is resolved once, at the start, and pinned in the job's /etc/hosts.
	// "" means Dest.
	Name string
	Rule
}

// A Rule allows connections from the job.
type Rule struct {
	Dest netip.Prefix // IPv4; the zero Prefix allows nothing
	// Port is the one port allowed; 0 means every port of TCP and UDP.
	Port uint16
	// Proto counts only with a Port; AnyProto then means both.
	Proto    Proto
	AnyProto bool
}

// ParseAllow reads CIDR|HOST[:PORT[/PROTO]]. A port without a protocol is
// allowed for both.
func ParseAllow(s string) (Allow, error) {
	fail := func(err error) (Allow, error) {
		return Allow{}, fmt.Errorf("%q: %w; want CIDR|HOST[:PORT[/tcp|/udp]], as in 192.0.2.0/24 or example.org:443/tcp", s, err)
	}
	var a Allow
	dest, port, ok := strings.Cut(s, ":")
	if strings.Contains(port, ":") {
		return fail(errors.New("the user-mode network has no IPv6"))
	}
	if ok {
		number, proto, hasProto := strings.Cut(port, "/")
		var err error
		if a.Port, err = parsePort(number); err != nil {
			return fail(err)
		}
		if a.AnyProto = !hasProto; hasProto {
			if a.Proto, err = parseProto(proto); err != nil {
				return fail(err)
			}
		}
	}
	if !strings.Contains(dest, "/") {
		if ip, err := netip.ParseAddr(dest); err == nil {
			a.Dest = netip.PrefixFrom(ip, ip.BitLen())
			return a, nil
		}
		if err := checkName(dest); err != nil {
			return fail(err)
		}
		a.Name = strings.TrimSuffix(dest, ".")
		return a, nil
	}
	var err error
	if a.Dest, err = netip.ParsePrefix(dest); err != nil {
		return fail(errors.New("it is no address range"))
	}
	if a.Dest != a.Dest.Masked() {
		return fail(fmt.Errorf("the range has bits set beyond its length; did you mean %s", a.Dest.Masked()))
	}
	return a, nil
}

// checkName refuses what is no host name: it becomes a line of /etc/hosts.
func checkName(s string) error {
	name := strings.TrimSuffix(s, ".")
	if name == "" || len(name) > 253 {
		return errors.New("a host name has 1 to 253 characters")
	}
	digits := true
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("it is neither an address nor a host name")
		}
		for _, c := range []byte(label) {
			letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '_'
			if !letter && (c < '0' || c > '9') {
				return errors.New("it is neither an address nor a host name")
			}
			digits = digits && !letter
		}
	}
	if digits {
		return errors.New("it looks like an address and is none")
	}
	return nil
}
