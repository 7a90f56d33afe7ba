package netslirp

import "net/netip"

// Proto is a transport protocol; zero is TCP.
type Proto uint8

// The protocols.
const (
	TCP Proto = iota
	UDP
)

// A Port is published: what arrives at the host's port reaches the job's. It
// is what --publish [IP:]HOST:JOB[/udp] asks for.
type Port struct {
	Proto Proto
	// IP is the host's address to listen on. The zero Addr means loopback, not
	// all addresses: a job is not to serve a LAN by default.
	IP   netip.Addr
	Host uint16 // 1–65535
	Job  uint16 // 1–65535
}

// A Rule allows connections from the job. It is what --net-allow
// CIDR|HOST[:PORT[/PROTO]] asks for; a host name has become addresses by then,
// the same ones for the whole life of the job.
type Rule struct {
	Dest netip.Prefix // must be valid; the zero Prefix allows nothing
	// Port is the one port allowed; 0 means every port and every protocol, and
	// Proto says nothing then.
	Port  uint16
	Proto Proto
}
