package profile

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// assemble lays the nodes out so that every jump goes forward, the returns last.
func (b *builder) assemble(root int) ([]bpf.RawInstruction, error) {
	order := b.order(root)
	at := make([]int, len(b.nodes))
	length := 0
	for _, i := range order {
		at[i] = length
		length++
		if b.nodes[i].load != loadNone {
			length++
		}
	}
	prog := make([]bpf.RawInstruction, 0, length)
	for _, i := range order {
		n := b.nodes[i]
		code := make([]bpf.Instruction, 0, 2)
		if n.load != loadNone {
			code = append(code, bpf.LoadAbsolute{Off: uint32(n.load), Size: 4})
		}
		if n.leaf {
			code = append(code, bpf.RetConstant{Val: n.k})
		} else {
			next := at[i] + len(code) + 1
			t, f := at[n.t]-next, at[n.f]-next
			if t > 255 || f > 255 {
				return nil, ErrTooLarge
			}
			code = append(code, bpf.JumpIf{Cond: n.op, Val: n.k, SkipTrue: uint8(t), SkipFalse: uint8(f)})
		}
		for _, c := range code {
			raw, err := c.Assemble()
			if err != nil {
				return nil, err
			}
			prog = append(prog, raw)
		}
	}
	return prog, nil
}

// order lists what root reaches, each decision before those it leads to and the
// leaves at the end.
func (b *builder) order(root int) []int {
	var decisions, leaves []int
	seen := make([]bool, len(b.nodes))
	var visit func(int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		n := b.nodes[i]
		if n.leaf {
			leaves = append(leaves, i)
			return
		}
		visit(n.f)
		visit(n.t)
		decisions = append(decisions, i)
	}
	visit(root)
	order := make([]int, 0, len(decisions)+len(leaves))
	for _, decision := range slices.Backward(decisions) {
		order = append(order, decision)
	}
	return append(order, leaves...)
}

// instructionSize is sizeof(struct sock_filter) {u16 code; u8 jt, jf; u32 k}.
const instructionSize = 8

// Encode is the program as struct sock_filter in memory of a little-endian
// machine.
func Encode(prog []bpf.RawInstruction) []byte {
	raw := make([]byte, 0, len(prog)*instructionSize)
	for _, i := range prog {
		raw = binary.LittleEndian.AppendUint16(raw, i.Op)
		raw = append(raw, i.Jt, i.Jf)
		raw = binary.LittleEndian.AppendUint32(raw, i.K)
	}
	return raw
}

// Decode is the reverse of Encode.
func Decode(raw []byte) ([]bpf.RawInstruction, error) {
	if len(raw) == 0 || len(raw)%instructionSize != 0 {
		return nil, fmt.Errorf("a filter of %d bytes", len(raw))
	}
	prog := make([]bpf.RawInstruction, 0, len(raw)/instructionSize)
	for ; len(raw) > 0; raw = raw[instructionSize:] {
		prog = append(prog, bpf.RawInstruction{
			Op: binary.LittleEndian.Uint16(raw), Jt: raw[2], Jf: raw[3], K: binary.LittleEndian.Uint32(raw[4:]),
		})
	}
	return prog, nil
}

// VM runs a filter without a kernel. It is not safe for concurrent use.
type VM struct {
	vm   *bpf.VM
	data [64]byte // struct seccomp_data; the machine reads words big-endian
}

// NewVM checks a filter as Encode writes it and returns a machine for it.
func NewVM(raw []byte) (*VM, error) {
	prog, err := Decode(raw)
	if err != nil {
		return nil, err
	}
	code, ok := bpf.Disassemble(prog)
	if !ok {
		return nil, fmt.Errorf("a filter with unknown instructions")
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		return nil, err
	}
	return &VM{vm: vm}, nil
}

// Action is what the filter returns for a call.
func (v *VM) Action(audit, number uint32, args [6]uint64) (Action, error) {
	binary.BigEndian.PutUint32(v.data[loadNumber:], number)
	binary.BigEndian.PutUint32(v.data[loadArch:], audit)
	for i, a := range args {
		binary.BigEndian.PutUint32(v.data[loadArg(i):], uint32(a))
		binary.BigEndian.PutUint32(v.data[loadArg(i)+4:], uint32(a>>32))
	}
	n, err := v.vm.Run(v.data[:])
	return Action(uint32(n)), err
}
