package profile

import (
	"errors"
	"fmt"
	"math"
)

// comparisons turns the arguments of an OCI rule, all of which must hold, into
// clauses of which one must.
func comparisons(args []ociArg, action Action) ([]Clause, error) {
	clauses := []Clause{{Action: action}}
	for _, a := range args {
		ways, err := a.ways(action == Allow)
		if err != nil {
			return nil, err
		}
		var next []Clause
		for _, c := range clauses {
			for _, w := range ways {
				next = append(next, Clause{Action: action, When: append(append([]Cond(nil), c.When...), w...)})
			}
		}
		if clauses = next; len(clauses) > maxOCIClauses {
			return nil, fmt.Errorf("%d arguments make more than %d cases", len(args), maxOCIClauses)
		}
	}
	return clauses, nil
}

const maxOCIClauses = 64

// errWide: nothing that a kernel takes by value is compared on more.
var errWide = errors.New("compares with more than 32 bits, which only SCMP_CMP_MASKED_EQ can")

// ways returns the conditions under which a comparison holds: any of the lists,
// all of one.
func (a ociArg) ways(allows bool) ([][]Cond, error) {
	if a.Index > 5 {
		return nil, fmt.Errorf("index %d is not 0 to 5", a.Index)
	}
	if a.Op == "SCMP_CMP_MASKED_EQ" {
		return a.masked()
	}
	if a.Value > math.MaxUint32 {
		return nil, errWide
	}
	arg, v := int(a.Index), uint32(a.Value)
	low := func(ranges ...Range) []Cond {
		if len(ranges) == 1 && ranges[0] == (Range{0, math.MaxUint32}) {
			return nil
		}
		return []Cond{{Arg: arg, In: ranges}}
	}
	zero := Cond{Arg: arg, High: true, In: []Range{{0, 0}}}
	high := []Cond{{Arg: arg, High: true, In: []Range{{1, math.MaxUint32}}}}
	// exact holds for values of 32 bits only, unless a refusal is to be had.
	exact := func(ranges ...Range) [][]Cond {
		if allows {
			return [][]Cond{append(low(ranges...), zero)}
		}
		return [][]Cond{low(ranges...)}
	}
	switch a.Op {
	case "SCMP_CMP_EQ":
		return exact(Range{v, v}), nil
	case "SCMP_CMP_LE":
		return exact(Range{0, v}), nil
	case "SCMP_CMP_LT":
		if v == 0 {
			return nil, errors.New("nothing is less than 0")
		}
		return exact(Range{0, v - 1}), nil
	case "SCMP_CMP_GE":
		return [][]Cond{low(Range{v, math.MaxUint32}), high}, nil
	case "SCMP_CMP_GT":
		if v == math.MaxUint32 {
			return [][]Cond{high}, nil
		}
		return [][]Cond{low(Range{v + 1, math.MaxUint32}), high}, nil
	case "SCMP_CMP_NE":
		other := low(others(v)...)
		if allows {
			return [][]Cond{other}, nil // v with bits above is v to the kernel
		}
		return [][]Cond{other, high}, nil
	}
	return nil, fmt.Errorf("op %q is not known", a.Op)
}

func others(v uint32) []Range {
	switch v {
	case 0:
		return []Range{{1, math.MaxUint32}}
	case math.MaxUint32:
		return []Range{{0, math.MaxUint32 - 1}}
	}
	return []Range{{0, v - 1}, {v + 1, math.MaxUint32}}
}

// masked is argument & Value == ValueTwo.
func (a ociArg) masked() ([][]Cond, error) {
	if a.ValueTwo&^a.Value != 0 {
		return nil, fmt.Errorf("no value under the mask %#x is %#x", a.Value, a.ValueTwo)
	}
	var conds []Cond
	for _, half := range [...]struct {
		high       bool
		mask, want uint32
	}{{false, uint32(a.Value), uint32(a.ValueTwo)}, {true, uint32(a.Value >> 32), uint32(a.ValueTwo >> 32)}} {
		if none := half.mask &^ half.want; none != 0 {
			conds = append(conds, Cond{Arg: int(a.Index), High: half.high, Bits: none, None: true})
		}
		for bit := uint32(1); bit != 0; bit <<= 1 {
			if half.want&bit != 0 {
				conds = append(conds, Cond{Arg: int(a.Index), High: half.high, Bits: bit})
			}
		}
	}
	return [][]Cond{conds}, nil
}
