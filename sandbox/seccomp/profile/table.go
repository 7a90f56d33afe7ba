package profile

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// Arch is a processor architecture as a filter sees it.
type Arch struct {
	Name  string // as GOARCH
	Audit uint32 // seccomp_data.arch of native calls
	X32   bool   // numbers with bit 30 set are calls of a second ABI
}

// The architectures that filters are compiled for.
var (
	AMD64 = Arch{Name: "amd64", Audit: 0xc000003e, X32: true} // AUDIT_ARCH_X86_64
	ARM64 = Arch{Name: "arm64", Audit: 0xc00000b7}            // AUDIT_ARCH_AARCH64
)

// skipped is number -1: a tracer has told the kernel to skip the call. It is no
// call of the x32 ABI although bit 30 is set.
const skipped = math.MaxUint32

const x32Bit = 0x40000000 // __X32_SYSCALL_BIT

// Table is a profile with the numbers of one architecture.
type Table struct {
	Arch     Arch
	Unlisted Action
	Foreign  Action
	entries  []entry // by number, none twice
}

type entry struct {
	number  uint32
	name    string
	clauses []Clause
}

// Table gives the profile's rules their numbers. numbers returns the number of a
// name, or ok false if the architecture lacks the call; then nothing needs to be
// said about it, as any number without a rule is answered with Unlisted. Two
// names for one number are an error.
func (p *Profile) Table(arch Arch, numbers func(name string) (number uint32, ok bool)) (*Table, error) {
	t := &Table{Arch: arch, Unlisted: p.Unlisted, Foreign: p.Foreign}
	for _, r := range p.Rules {
		number, ok := uint32(r.Number), r.Number >= 0
		if !ok {
			number, ok = numbers(r.Name)
		}
		if !ok {
			continue
		}
		if number >= x32Bit {
			return nil, fmt.Errorf("%s: number %d of %s is not a native call", p.Name, number, r.Name)
		}
		t.entries = append(t.entries, entry{number, r.Name, r.Clauses})
	}
	sort.Slice(t.entries, func(i, j int) bool { return t.entries[i].number < t.entries[j].number })
	for i := 1; i < len(t.entries); i++ {
		if a, b := t.entries[i-1], t.entries[i]; a.number == b.number {
			return nil, fmt.Errorf("%s: %s and %s are both %d on %s", p.Name, a.name, b.name, a.number, arch.Name)
		}
	}
	return t, nil
}

// Action is the profile's answer to a call: what a compiled filter must return.
func (t *Table) Action(audit, number uint32, args [6]uint64) Action {
	if audit != t.Arch.Audit || t.Arch.X32 && number >= x32Bit && number != skipped {
		return t.Foreign
	}
	i := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].number >= number })
	if i < len(t.entries) && t.entries[i].number == number {
		return decide(t.entries[i].clauses, args)
	}
	return t.Unlisted
}

// Each calls f for every rule in the order of the numbers.
func (t *Table) Each(f func(number uint32, name string, clauses []Clause)) {
	for _, e := range t.entries {
		f(e.number, e.name, e.clauses)
	}
}

// Probe calls f for the calls in which two filters of this table could differ:
// every number to 600 and the ends of the number space, natively and through
// other ABIs, and every rule on arguments with the values around each of its
// bounds, with and without bits in the half that the kernel cuts off.
func (t *Table) Probe(f func(audit, number uint32, args [6]uint64)) {
	audits := []uint32{t.Arch.Audit, AMD64.Audit, ARM64.Audit, 0x40000003, 0x40000028, 0, skipped} // i386, arm
	var numbers []uint32
	for n := uint32(0); n <= 600; n++ {
		numbers = append(numbers, n, n|x32Bit)
	}
	numbers = append(numbers, 1023, 1024, 4095, 0xffff, 0x10000, x32Bit-1, math.MaxInt32, 1<<31, skipped-1, skipped)
	ones := [6]uint64{}
	for i := range ones {
		ones[i] = math.MaxUint64
	}
	for _, audit := range audits {
		for _, n := range numbers {
			f(audit, n, [6]uint64{})
			f(audit, n, ones)
		}
	}
	for _, e := range t.entries {
		for _, args := range arguments(e.clauses) {
			f(t.Arch.Audit, e.number, args)
		}
	}
}

// arguments are all combinations of interesting values for the arguments that
// clauses look at; the others are filled with bits that must not matter.
func arguments(clauses []Clause) [][6]uint64 {
	var values [6][]uint64
	for _, c := range clauses {
		for _, w := range c.When {
			values[w.Arg] = append(values[w.Arg], around(w)...)
		}
	}
	all := [][6]uint64{{}, {0: 7, 1: 7, 2: 7, 3: 7, 4: 7, 5: 7}}
	for arg, vs := range values {
		if len(vs) == 0 {
			continue
		}
		slices.Sort(vs)
		var next [][6]uint64
		for _, args := range all {
			for i, v := range vs {
				if i > 0 && v == vs[i-1] {
					continue
				}
				args[arg] = v
				next = append(next, args)
			}
		}
		all = next
	}
	return all
}

func around(c Cond) []uint64 {
	low := []uint32{0, 1, math.MaxInt32, 1 << 31, math.MaxUint32, c.Bits, ^c.Bits}
	for bit := uint32(1); bit != 0; bit <<= 1 {
		if c.Bits != 0 {
			low = append(low, bit, c.Bits&^bit)
		}
	}
	for _, r := range c.In {
		low = append(low, r.Lo-1, r.Lo, r.Lo+1, r.Hi-1, r.Hi, r.Hi+1)
	}
	var values []uint64
	for _, v := range low {
		if c.High {
			values = append(values, uint64(v)<<32, uint64(v)<<32|7)
			continue
		}
		values = append(values, uint64(v), uint64(v)|1<<32, uint64(v)|math.MaxUint32<<32)
	}
	return values
}
