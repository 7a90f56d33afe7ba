package netslirp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// A Record is what a job's network counted: the field network of a result.
type Record struct {
	Driver Driver `json:"driver"`
	// Sent, Received and Denied list endpoints, most bytes first; at most 256
	// each. More says that there were others.
	Sent     []Flow `json:"sent,omitempty"`
	Received []Flow `json:"received,omitempty"`
	Denied   []Flow `json:"denied,omitempty"`
	More     bool   `json:"more,omitempty"`
	// Ended says how the user-mode network came to end before the job, if it
	// did: the job then had no network for the rest of its life.
	Ended string `json:"ended,omitempty"`
	// Note says what holds less than usual.
	Note string `json:"note,omitempty"`
}

// A Flow is what went to or came from one endpoint outside. Bytes are those of
// IP packets.
type Flow struct {
	Address netip.Addr `json:"address"`
	Proto   string     `json:"proto"` // tcp, udp, or a number
	Port    uint16     `json:"port"`
	Packets uint64     `json:"packets"`
	Bytes   uint64     `json:"bytes"`
	// Connections counts what TCP connections were tried, for Sent.
	Connections uint64 `json:"connections,omitempty"`
}

// read takes the counters out of the namespace.
func (r *Record) read(c *nftables.Conn) error {
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
	flows := func(name string) ([]Flow, error) {
		elements, err := c.GetSetElements(&nftables.Set{Table: table, Name: name})
		if err != nil {
			return nil, err
		}
		r.More = r.More || len(elements) >= setSize
		list := make([]Flow, 0, len(elements))
		for _, e := range elements {
			if f, ok := flow(&e); ok {
				list = append(list, f)
			}
		}
		slices.SortFunc(list, compare)
		return list, nil
	}
	var err error
	for _, x := range [...]struct {
		name string
		to   *[]Flow
	}{{setAllowed, &r.Sent}, {setReceived, &r.Received}, {setDenied, &r.Denied}} {
		if *x.to, err = flows(x.name); err != nil {
			return err
		}
	}
	opened, err := flows(setOpened)
	for _, o := range opened {
		for i, s := range r.Sent {
			if s.Address == o.Address && s.Proto == o.Proto && s.Port == o.Port {
				r.Sent[i].Connections = o.Packets
			}
		}
	}
	return err
}

// flow reads an element: address, protocol and port, each padded to 32 bits.
func flow(e *nftables.SetElement) (Flow, bool) {
	if len(e.Key) != 12 || e.Counter == nil {
		return Flow{}, false
	}
	f := Flow{
		Address: netip.AddrFrom4([4]byte(e.Key[:4])), Proto: protoName(e.Key[4]),
		Port: binary.BigEndian.Uint16(e.Key[8:]), Packets: e.Counter.Packets, Bytes: e.Counter.Bytes,
	}
	return f, true
}

func protoName(p byte) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_ICMP:
		return "icmp"
	}
	return "other"
}

// compare orders flows: most bytes first, then by endpoint.
func compare(a, b Flow) int {
	switch {
	case a.Bytes != b.Bytes && a.Bytes > b.Bytes:
		return -1
	case a.Bytes != b.Bytes:
		return 1
	case a.Address != b.Address:
		return a.Address.Compare(b.Address)
	case a.Proto != b.Proto:
		return strings.Compare(a.Proto, b.Proto)
	}
	return int(a.Port) - int(b.Port)
}
