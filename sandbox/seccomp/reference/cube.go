//go:build gen || libseccomp

package reference

import (
	"maps"
	"math/bits"

	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
)

// cube is the set of values v with v&mask == value, the only kind of set that
// libseccomp can compare parts of an argument with.
type cube struct{ mask, value uint64 }

// meet is the intersection of two cubes; ok is false if it is empty.
func meet(a, b cube) (c cube, ok bool) {
	return cube{a.mask | b.mask, a.value | b.value}, (a.value^b.value)&a.mask&b.mask == 0
}

// without is a without b as disjoint cubes.
func without(a, b cube) []cube {
	if _, ok := meet(a, b); !ok {
		return []cube{a}
	}
	var rest []cube
	for left := b.mask &^ a.mask; left != 0; {
		bit := uint64(1) << (bits.Len64(left) - 1)
		left &^= bit
		rest = append(rest, cube{a.mask | bit, a.value | ^b.value&bit})
		a = cube{a.mask | bit, a.value | b.value&bit}
	}
	return rest
}

// cubes is the set on which a condition holds, as disjoint cubes.
func cubes(c profile.Cond) []cube {
	var set []cube
	shift := 0
	if c.High {
		shift = 32
	}
	if c.Bits != 0 {
		none := cube{mask: uint64(c.Bits) << shift}
		if c.None {
			return []cube{none}
		}
		return without(cube{}, none)
	}
	for _, r := range c.In {
		for lo, end := uint64(r.Lo), uint64(r.Hi)+1; lo < end; {
			size := uint64(1) << 32
			if lo != 0 {
				size = lo & -lo
			}
			for lo+size > end {
				size /= 2
			}
			set = append(set, cube{uint64(^uint32(size-1)) << shift, lo << shift})
			lo += size
		}
	}
	return set
}

// A cell is a set of calls with one answer: a product of cubes of arguments.
type cell struct {
	args   map[int]cube
	action profile.Action
}

// cells cuts the calls of a rule into disjoint cells.
func cells(clauses []profile.Clause) []cell { return cut(clauses, map[int]cube{}) }

// cut looks at one condition at a time, so that an argument is cut only where
// the ones before leave it open.
func cut(clauses []profile.Clause, args map[int]cube) []cell {
	first := clauses[0]
	if len(first.When) == 0 {
		return []cell{{args, first.Action}}
	}
	cond := first.When[0]
	var all []cell
	outside := []cube{args[cond.Arg]}
	for _, s := range cubes(cond) {
		if inside, ok := meet(args[cond.Arg], s); ok {
			rest := append([]profile.Clause{{Action: first.Action, When: first.When[1:]}}, clauses[1:]...)
			all = append(all, cut(rest, with(args, cond.Arg, inside))...)
		}
		var next []cube
		for _, o := range outside {
			next = append(next, without(o, s)...)
		}
		outside = next
	}
	for _, o := range outside {
		all = append(all, cut(clauses[1:], with(args, cond.Arg, o))...)
	}
	return all
}

func with(args map[int]cube, arg int, c cube) map[int]cube {
	args = maps.Clone(args)
	args[arg] = c
	return args
}
