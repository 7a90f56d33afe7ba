package netslirp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Bounds of a list: each rule is a few hundred bytes of the kernel's.
const (
	maxAllow     = 256
	maxAddresses = 32 // of one name
)

// hostLoopback says what a list that names a loopback may have meant.
var hostLoopback = "the host's loopback is " + gatewayIP.String() + " inside: --net-allow " + gatewayIP.String() + ":PORT"

var loopbackOnly = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// A lookup finds the IPv4 addresses of a name.
type lookup func(ctx context.Context, name string) ([]netip.Addr, error)

// pin makes rules out of the list: names become the addresses that they have
// now, for the job's whole life, and lines of /etc/hosts. A name that leads to
// a protected address is refused: whoever owns the name would choose what of
// the host the job reaches (DNS rebinding).
func pin(ctx context.Context, list []Allow, find lookup, guarded []netip.Prefix) (rules []Rule, hosts string, err error) {
	if len(list) > maxAllow {
		return nil, "", fmt.Errorf("the list has %d entries; %d are allowed", len(list), maxAllow)
	}
	var lines strings.Builder
	for _, a := range list {
		if a.Name == "" {
			if !a.Dest.Addr().Is4() {
				return nil, "", fmt.Errorf("%s: the user-mode network has no IPv6", a.Dest)
			}
			if own := within(loopbackOnly, a.Dest); own != nil {
				return nil, "", &hintError{fmt.Errorf("%s is the job's own loopback, which is open to it in any case", a.Dest), hostLoopback}
			}
			rules = append(rules, a.Rule)
			continue
		}
		addrs, err := find(ctx, a.Name)
		if err != nil {
			return nil, "", &hintError{fmt.Errorf("%s does not resolve: %w", a.Name, err), "names of the list are resolved when the job starts: check the name and this host's resolver, or give the address"}
		}
		addrs = slices.DeleteFunc(addrs, func(ip netip.Addr) bool { return !ip.Unmap().Is4() })
		if len(addrs) == 0 {
			return nil, "", fmt.Errorf("%s has no IPv4 address, and the user-mode network has no IPv6", a.Name)
		}
		for _, ip := range addrs[:min(len(addrs), maxAddresses)] {
			r := a.Rule
			r.Dest = netip.PrefixFrom(ip.Unmap(), 32)
			if g := within(guarded, r.Dest); g != nil {
				hint := "private addresses and the host's own are allowed by address only: --net-allow " + r.Dest.Addr().String()
				if within(loopbackOnly, r.Dest) != nil {
					hint = hostLoopback
				}
				return nil, "", &hintError{fmt.Errorf("%s resolves to %s, which lies in %s", a.Name, r.Dest.Addr(), g), hint}
			}
			rules = append(rules, r)
			fmt.Fprintf(&lines, "%s %s\n", r.Dest.Addr(), a.Name)
		}
	}
	return rules, lines.String(), nil
}

// hintError is an error that knows what to do about it.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// Hint says in one sentence what to do.
func (e *hintError) Hint() string { return e.hint }
