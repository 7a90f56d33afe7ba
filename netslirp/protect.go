package netslirp

import (
	"net"
	"net/netip"
)

// protected are the ranges that a job does not reach unless an entry of the
// list lies within one of them: what is special to a host or to its LAN.
// 10.0.2.2, where slirp shows the host's own loopback, lies in one; the cloud's
// metadata address 169.254.169.254 in another.
var protected = [...]string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
}

// protectedRanges returns the protected ranges and the host's own addresses, as
// they are now: a program that listens on all of the host's addresses may mean
// its LAN and not the job.
func protectedRanges() ([]netip.Prefix, error) {
	list := specialRanges()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().Is4() {
			continue
		}
		if host := netip.PrefixFrom(p.Addr(), 32); within(list, host) == nil {
			list = append(list, host)
		}
	}
	return list, nil
}

func specialRanges() (list []netip.Prefix) {
	for _, p := range protected {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

// within returns the range of list that p lies in, or nil.
func within(list []netip.Prefix, p netip.Prefix) *netip.Prefix {
	for i, x := range list {
		if x.Bits() <= p.Bits() && x.Contains(p.Addr()) {
			return &list[i]
		}
	}
	return nil
}
