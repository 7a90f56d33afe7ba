package netslirp

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The network inside: slirp4netns' own defaults.
var (
	jobIP     = netip.MustParseAddr("10.0.2.100")
	gatewayIP = netip.MustParseAddr("10.0.2.2") // where the host's loopback would be, and where published ports come from
	dnsIP     = netip.MustParseAddr("10.0.2.3")

	jobNetwork = netip.MustParsePrefix("10.0.2.0/24")
)

// A wall is what is to be reached and what not.
type wall struct {
	rules   []Rule
	listed  bool // only what the rules name may be reached
	guarded []netip.Prefix
	dns     bool // the resolver of the network may be asked
	ports   []Port
	rate    uint64 // bytes a second, each way; 0 for no bound
	slirp   bool   // the network is slirp4netns', whoever has started it
}

// opensLoopback reports whether a rule opens some of the host's loopback.
func (w *wall) opensLoopback() bool {
	return slices.ContainsFunc(w.rules, func(r Rule) bool { return r.isHostLoopback() })
}

// answersLoopback reports whether the job has to answer the host's loopback by
// UDP. libslirp's own switch against the loopback stops those answers too
// (sotranslate_out), so that the rules are the only wall then.
func (w *wall) answersLoopback() bool {
	return slices.ContainsFunc(w.ports, func(p Port) bool { return p.Proto == UDP && p.IP.IsLoopback() })
}

// showsLoopback reports whether libslirp's switch is off.
func (w *wall) showsLoopback() bool { return w.answersLoopback() || w.opensLoopback() }

// Names in the table.
const (
	tableName   = "jailrun"
	setAllowed  = "allowed"  // packets and bytes sent, by destination
	setOpened   = "opened"   // connections begun (TCP), by destination
	setReceived = "received" // packets and bytes received, by source
	setDenied   = "denied"   // packets refused, by destination
	setSize     = 256        // destinations told apart; later ones are counted in the totals only
)

// builder collects the rules of one namespace.
type builder struct {
	*nftables.Conn
	table          *nftables.Table
	allow, deny    *nftables.Chain
	output, input  *nftables.Chain
	allowed, denid *nftables.Set
	opened, recvd  *nftables.Set
}

// build sends the rules, as one transaction. Whatever they do not name passes
// neither way: the chains' policy is to drop.
//
//	output: lo → TCP beyond its first packet → answers of published UDP ports →
//	        resolver → rules for the host's loopback → the job's network refused →
//	        rules for guarded places → guarded ranges refused → other rules, or
//	        all → refused
//
// Of TCP the packets that begin a connection are judged: without one that
// passed the job's kernel sends no other, and the job, which has no raw socket
// and no TCP_REPAIR, cannot make it.
//
// It is stateless, as connection tracking would cost every packet, but for
// published UDP ports: from such a port the job could else send to anybody.
func (w *wall) build(c *nftables.Conn) error {
	drop := nftables.ChainPolicyDrop
	b := &builder{Conn: c, table: c.AddTable(&nftables.Table{Name: tableName, Family: nftables.TableFamilyINet})}
	for _, s := range [...]struct {
		set  **nftables.Set
		name string
	}{{&b.allowed, setAllowed}, {&b.opened, setOpened}, {&b.recvd, setReceived}, {&b.denid, setDenied}} {
		*s.set = b.endpoints(s.name)
		if err := c.AddSet(*s.set, nil); err != nil {
			return err
		}
	}
	b.allow = c.AddChain(&nftables.Chain{Name: "allow", Table: b.table})
	b.deny = c.AddChain(&nftables.Chain{Name: "deny", Table: b.table})
	hook := func(name string, at *nftables.ChainHook) *nftables.Chain {
		return c.AddChain(&nftables.Chain{
			Name: name, Table: b.table, Type: nftables.ChainTypeFilter, Hooknum: at,
			Priority: nftables.ChainPriorityFilter, Policy: &drop,
		})
	}
	b.output, b.input = hook("output", nftables.ChainHookOutput), hook("input", nftables.ChainHookInput)
	w.fillAllow(b)
	w.fillDeny(b)
	w.fillOutput(b)
	w.fillInput(b)
	return c.Flush()
}

// endpoints is a set of address, protocol and port, each with a counter.
func (b *builder) endpoints(name string) *nftables.Set {
	return &nftables.Set{
		Table: b.table, Name: name, Dynamic: true, Concatenation: true, Size: setSize,
		KeyType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService),
	}
}

func (b *builder) rule(chain *nftables.Chain, parts ...[]expr.Any) {
	b.AddRule(&nftables.Rule{Table: b.table, Chain: chain, Exprs: slices.Concat(parts...)})
}

func (w *wall) fillAllow(b *builder) {
	w.bound(b, b.allow)
	b.rule(b.allow, isProto(unix.IPPROTO_TCP), isSyn(true), count(b.opened, destination))
	b.rule(b.allow, count(b.allowed, destination))
	b.rule(b.allow, accept())
}

// fillDeny refuses with an answer: a connection refused at once is a test that
// fails at once.
func (w *wall) fillDeny(b *builder) {
	b.rule(b.deny, isIPv4(), count(b.denid, destination))
	b.rule(b.deny, isProto(unix.IPPROTO_TCP), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	b.rule(b.deny, []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
}

func (w *wall) fillOutput(b *builder) {
	allow, deny := goTo(b.allow), goTo(b.deny)
	b.rule(b.output, loopback(expr.MetaKeyOIF), accept())
	b.rule(b.output, isNotIPv4(), deny)
	b.rule(b.output, isProto(unix.IPPROTO_TCP), isSyn(false), allow)
	for _, p := range w.ports {
		if p.Proto == TCP {
			continue // whoever connects begins
		}
		from := slices.Concat(isProto(unix.IPPROTO_UDP), portIs(sourcePort, p.Job), established())
		if p.IP.IsLoopback() { // slirp shows the host's loopback as the gateway
			from = append(from, inRange(netip.PrefixFrom(gatewayIP, 32))...)
		}
		b.rule(b.output, from, allow)
	}
	if w.dns {
		for _, p := range [...]uint8{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			b.rule(b.output, inRange(netip.PrefixFrom(dnsIP, 32)), isProto(p), portIs(destinationPort, 53), allow)
		}
	}
	add := func(r Rule) {
		for _, p := range r.protos() {
			parts := slices.Concat(inRange(r.Dest), isProto(p))
			if r.Port > 0 {
				parts = append(parts, portIs(destinationPort, r.Port)...)
			}
			b.rule(b.output, parts, allow)
		}
	}
	var own, narrow, wide []Rule
	for _, r := range w.rules {
		switch {
		case r.isHostLoopback():
			own = append(own, r)
		case within(w.guarded, r.Dest) != nil:
			narrow = append(narrow, r) // asked for by name
		default:
			wide = append(wide, r)
		}
	}
	for _, r := range own {
		add(r)
	}
	if w.slirp {
		// libslirp shows the host's loopback under every address of the job's
		// network: who asks for 10.0.0.0/8 does not mean it.
		b.rule(b.output, inRange(jobNetwork), deny)
	}
	for _, r := range narrow {
		add(r)
	}
	for _, g := range w.guarded {
		b.rule(b.output, inRange(g), deny)
	}
	for _, r := range wide {
		add(r)
	}
	if !w.listed {
		b.rule(b.output, isProto(unix.IPPROTO_TCP), allow)
		b.rule(b.output, isProto(unix.IPPROTO_UDP), allow)
	}
	b.rule(b.output, deny)
}

func (w *wall) fillInput(b *builder) {
	b.rule(b.input, loopback(expr.MetaKeyIIF), accept())
	w.bound(b, b.input)
	b.rule(b.input, isIPv4(), count(b.recvd, source))
	b.rule(b.input, isIPv4(), accept())
}

// bound drops what is above the rate, with a tenth of a second's worth of burst.
func (w *wall) bound(b *builder, chain *nftables.Chain) {
	if w.rate == 0 {
		return
	}
	burst := max(w.rate/10, 128<<10) // one packet of the device is up to 64 KiB
	b.rule(chain, []expr.Any{
		&expr.Limit{Type: expr.LimitTypePktBytes, Rate: w.rate, Unit: expr.LimitTimeSecond, Over: true, Burst: uint32(min(burst, 1<<31))},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
}

// isHostLoopback reports whether the rule is about the host's loopback, as slirp
// shows it.
func (r *Rule) isHostLoopback() bool { return r.Dest == netip.PrefixFrom(gatewayIP, 32) }

func (r *Rule) protos() []uint8 {
	if r.Port == 0 || r.AnyProto {
		return []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}
	}
	return []uint8{ipProto(r.Proto)}
}

func ipProto(p Proto) uint8 {
	if p == UDP {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}
