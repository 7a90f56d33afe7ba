package profile

import (
	"errors"
	"math"
	"slices"

	"golang.org/x/net/bpf"
)

// ErrTooLarge is returned for a profile whose filter would not fit: jumps of
// BPF reach 255 instructions.
var ErrTooLarge = errors.New("the filter is too large")

// Offsets in struct seccomp_data. The low half of an argument comes first on
// the little-endian processors that filters are made for.
const (
	loadNone   = -1
	loadNumber = 0
	loadArch   = 4
)

func loadArg(arg int) int { return 16 + 8*arg }

// node is one decision of the filter: load a word if load says so, compare it
// with k, go on at t or f. A leaf returns k. Equal nodes exist once, so equal
// tails of rules share their code.
type node struct {
	load int
	op   bpf.JumpTest
	leaf bool
	k    uint32
	t, f int
}

type builder struct {
	nodes []node
	index map[node]int
	steps int // work done, bounded by maxSteps
}

// maxSteps bounds the work for rules whose conditions multiply.
const maxSteps = 20000

// Compile returns the filter: architecture, then a search tree over ranges of
// numbers with equal answers, then the rules on arguments, then one return for
// each answer.
func (t *Table) Compile() ([]bpf.RawInstruction, error) {
	b := &builder{index: map[node]int{}}
	foreign, unlisted := b.leaf(t.Foreign), b.leaf(t.Unlisted)
	segments := []segment{{0, unlisted}}
	for _, e := range t.entries {
		to, err := b.rule(e.clauses, loadNone)
		if err != nil {
			return nil, err
		}
		if last := &segments[len(segments)-1]; last.lo == e.number {
			last.to = to
		} else {
			segments = append(segments, segment{e.number, to})
		}
		segments = append(segments, segment{e.number + 1, unlisted})
	}
	if t.Arch.X32 {
		segments = append(segments, segment{x32Bit, foreign}, segment{skipped, unlisted})
	}
	native := b.search(loadNumber, segments)
	root := b.add(node{load: loadArch, op: bpf.JumpEqual, k: t.Arch.Audit, t: native, f: foreign})
	return b.assemble(root)
}

// add returns the place of a node; a decision between equal sides is none.
func (b *builder) add(n node) int {
	if !n.leaf && n.t == n.f {
		return n.t
	}
	if at, ok := b.index[n]; ok {
		return at
	}
	b.nodes = append(b.nodes, n)
	b.index[n] = len(b.nodes) - 1
	return len(b.nodes) - 1
}

func (b *builder) leaf(a Action) int { return b.add(node{load: loadNone, leaf: true, k: uint32(a)}) }

// rule returns the decision that clauses make when the accumulator holds the
// word loaded.
func (b *builder) rule(clauses []Clause, loaded int) (int, error) {
	if b.steps++; b.steps > maxSteps {
		return 0, ErrTooLarge
	}
	first := clauses[0]
	if len(first.When) == 0 {
		return b.leaf(first.Action), nil
	}
	cond := first.When[0]
	load := cond.offset()
	if cond.Bits == 0 {
		return b.values(clauses, cond, loaded)
	}
	t, err := b.rule(assume(clauses, cond.same, func(w Cond) bool { return !w.None }), load)
	if err != nil {
		return 0, err
	}
	f, err := b.rule(assume(clauses, cond.same, func(w Cond) bool { return w.None }), load)
	if err != nil {
		return 0, err
	}
	n := node{load: load, op: bpf.JumpBitsSet, k: cond.Bits, t: t, f: f}
	if load == loaded {
		n.load = loadNone
	}
	return b.add(n), nil
}

// values decides all conditions on the value of one word in one search.
func (b *builder) values(clauses []Clause, cond Cond, loaded int) (int, error) {
	same := cond.same
	bounds := []uint32{0}
	for _, c := range clauses {
		for _, w := range c.When {
			if !same(w) {
				continue
			}
			for _, r := range w.In {
				bounds = append(bounds, r.Lo)
				if r.Hi != math.MaxUint32 {
					bounds = append(bounds, r.Hi+1)
				}
			}
		}
	}
	slices.Sort(bounds)
	load := cond.offset()
	var segments []segment
	for i, lo := range bounds {
		if i > 0 && lo == bounds[i-1] {
			continue
		}
		to, err := b.rule(assume(clauses, same, func(w Cond) bool { return inside(w.In, lo) }), load)
		if err != nil {
			return 0, err
		}
		segments = append(segments, segment{lo, to})
	}
	if load == loaded {
		load = loadNone
	}
	return b.search(load, segments), nil
}

// assume returns the clauses as they read once the conditions picked are known:
// those that hold are left out, clauses with one that does not are left out.
func assume(clauses []Clause, picked, holds func(Cond) bool) []Clause {
	var rest []Clause
next:
	for _, c := range clauses {
		left := Clause{Action: c.Action}
		for _, w := range c.When {
			switch {
			case !picked(w):
				left.When = append(left.When, w)
			case !holds(w):
				continue next
			}
		}
		rest = append(rest, left)
		if len(left.When) == 0 {
			break
		}
	}
	return rest
}
