package netslirp

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The network inside: slirp4netns' own defaults.
var (
	jobIP     = netip.MustParseAddr("10.0.2.100")
	gatewayIP = netip.MustParseAddr("10.0.2.2") // where the host's loopback would be, and where published ports come from
	dnsIP     = netip.MustParseAddr("10.0.2.3")
)

// A wall is what is to be reached and what not.
type wall struct {
	rules   []Rule
	listed  bool // only what the rules name may be reached
	guarded []netip.Prefix
	dns     bool // the resolver of the network may be asked
	ports   []Port
	rate    uint64 // bytes a second, each way; 0 for no bound
}

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
//	        resolver → rules for guarded places → guarded ranges refused →
//	        other rules, or all → refused
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
	wide := slices.DeleteFunc(slices.Clone(w.rules), func(r Rule) bool { return within(w.guarded, r.Dest) != nil })
	for _, r := range w.rules {
		if within(w.guarded, r.Dest) != nil {
			add(r) // asked for by name
		}
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

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

func goTo(c *nftables.Chain) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: c.Name}}
}

// loopback matches the device, which has index 1 in every namespace.
func loopback(key expr.MetaKey) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(1)},
	}
}

func family(op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
	}
}

func isIPv4() []expr.Any    { return family(expr.CmpOpEq) }
func isNotIPv4() []expr.Any { return family(expr.CmpOpNeq) }

func isProto(p uint8) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{p}},
	}
}

// isSyn matches packets that begin a connection, or all others. Byte 13 of the
// TCP header holds the flags: FIN 1, SYN 2, RST 4, ACK 16.
func isSyn(is bool) []expr.Any {
	op := expr.CmpOpEq
	if !is {
		op = expr.CmpOpNeq
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x17}, Xor: []byte{0}},
		&expr.Cmp{Op: op, Register: 1, Data: []byte{0x02}},
	}
}

// established matches packets of flows that have seen one each way.
func established() []expr.Any {
	mask := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// Offsets in the IPv4 and in the transport header.
const (
	sourceIP, destinationIP     = 12, 16
	sourcePort, destinationPort = 0, 2
)

func portIs(offset uint32, n uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, n)},
	}
}

// inRange matches destinations.
func inRange(p netip.Prefix) []expr.Any {
	if p.Bits() == 0 {
		return nil
	}
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	addr := p.Masked().Addr().As4()
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: destinationIP, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addr[:]},
	}
}

// An endpoint says which end of a packet is counted.
type endpoint struct{ ip, port uint32 }

var (
	source      = endpoint{sourceIP, sourcePort}
	destination = endpoint{destinationIP, destinationPort}
)

// count adds the packet to its endpoint's counter. Registers 8 to 10 are the
// 32-bit ones of the first two wide registers: the key lies in them in a row.
func count(s *nftables.Set, e endpoint) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG32_00, Base: expr.PayloadBaseNetworkHeader, Offset: e.ip, Len: 4},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG32_01},
		&expr.Payload{DestRegister: unix.NFT_REG32_02, Base: expr.PayloadBaseTransportHeader, Offset: e.port, Len: 2},
		&expr.Dynset{SrcRegKey: unix.NFT_REG32_00, SetName: s.Name, SetID: s.ID, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{&expr.Counter{}}},
	}
}
