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

// split cuts every cube of whole so that each part lies inside or outside set.
func split(whole, set []cube) []cube {
	var parts []cube
	for _, w := range whole {
		outside := []cube{w}
		for _, s := range set {
			if inside, ok := meet(w, s); ok {
				parts = append(parts, inside)
			}
			var next []cube
			for _, o := range outside {
				next = append(next, without(o, s)...)
			}
			outside = next
		}
		parts = append(parts, outside...)
	}
	return parts
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

// cells cuts the arguments that clauses look at into disjoint products of cubes
// on which every condition is constant. Without conditions it is one empty cell.
func cells(clauses []profile.Clause) []map[int]cube {
	parts := map[int][]cube{}
	for _, c := range clauses {
		for _, w := range c.When {
			whole, ok := parts[w.Arg]
			if !ok {
				whole = []cube{{}}
			}
			parts[w.Arg] = split(whole, cubes(w))
		}
	}
	all := []map[int]cube{{}}
	for arg := range 6 {
		if len(parts[arg]) == 0 {
			continue
		}
		var next []map[int]cube
		for _, cell := range all {
			for _, c := range parts[arg] {
				bigger := map[int]cube{arg: c}
				maps.Copy(bigger, cell)
				next = append(next, bigger)
			}
		}
		all = next
	}
	return all
}
