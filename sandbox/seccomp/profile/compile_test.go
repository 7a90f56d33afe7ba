package profile

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
)

// anyNumber gives every name some number, so that texts of all sorts compile.
func anyNumber(name string) (uint32, bool) {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32() % 512, !strings.HasPrefix(name, "no")
}

// agree compares what a compiled table does with what it means.
func agree(t *testing.T, tab *Table) int {
	t.Helper()
	code, err := tab.Compile()
	require.NoError(t, err)
	raw := Encode(code)
	decoded, err := Decode(raw)
	require.NoError(t, err)
	require.Equal(t, code, decoded)
	vm, err := NewVM(raw)
	require.NoError(t, err)
	tab.Probe(func(audit, number uint32, args [6]uint64) {
		got, err := vm.Action(audit, number, args)
		if want := tab.Action(audit, number, args); err != nil || got != want {
			t.Fatalf("call %d %#x of arch %#x: %v %v, want %v", number, args, audit, got, err, want)
		}
	})
	return len(code)
}

func TestCompile(t *testing.T) {
	for _, row := range []struct {
		name, rules string
		size        int // instructions on arm64; amd64 adds the end of the native numbers
	}{
		{"one call", "allow read", 7},
		{"a run", "allow a=0 b=1 c=2 d=3", 7},
		{"ends", "allow a=0 b=65535", 8},
		{"point between equals", "allow a=0 b=1 c=3 d=4", 8},
		{"nothing but unlisted", "ENOSYS read", 4},
		{"bits", "args a=5\nEPERM when arg1 any 6\nallow otherwise", 10},
		{"bits then values", "args a=5\nallow when arg0 in 0xffffffff\nEPERM when arg0 any 0xfff7\nallow otherwise", 11},
		{"two arguments", "args a=5\nEPERM when arg1 in 6 and arg2 in 31\nallow otherwise", 12},
		// Every value of arg0 leads to the same decision on arg1.
		{"useless condition", "args a=5\nEPERM when arg0 in 5 and arg1 in 3\nEPERM when arg1 in 3\nallow otherwise", 10},
		{"equal answers", "args a=5\nallow when arg0 in 5\nallow otherwise", 7},
		{"shared tail", "args a=5\nEPERM when arg1 any 1 and arg2 any 2\nallow otherwise\nargs b=7\nEPERM when arg2 any 2\nallow otherwise", 13},
		{"same bits twice", "args a=5\nEPERM when arg0 any 4 and arg1 in 1\nkill when arg0 any 4\nallow otherwise", 12},
		{"values cross", "args a=5\nEPERM when arg0 in 1-10\nkill when arg0 in 5-20 and arg3 in 0\nEINVAL when arg0 in 15-0xffffffff\nallow otherwise", 18},
		{"bounds", "args a=5\nEPERM when arg0 in 0-4 0xfffffff0-0xffffffff\nallow otherwise", 11},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, err := Parse("f", "profile p\nunlisted ENOSYS\nforeign kill\ngroup g\nreason r\n"+row.rules, nil)
			require.NoError(t, err)
			tab, err := p.Table(ARM64, anyNumber)
			require.NoError(t, err)
			assert.Equal(t, row.size, agree(t, tab))
			tab, err = p.Table(AMD64, anyNumber)
			require.NoError(t, err)
			agree(t, tab)
		})
	}
}

func TestTableRefuses(t *testing.T) {
	parse := func(rules string) *Profile {
		p, err := Parse("f", head+rules, nil)
		require.NoError(t, err)
		return p
	}
	_, err := parse("allow read=5 write=5").Table(AMD64, anyNumber)
	require.ErrorContains(t, err, "read and write are both 5")
	_, err = parse("allow read").Table(AMD64, func(string) (uint32, bool) { return x32Bit, true })
	require.ErrorContains(t, err, "not a native call")

	tab, err := parse("allow read nothing").Table(ARM64, anyNumber)
	require.NoError(t, err)
	var names []string
	tab.Each(func(_ uint32, name string, _ []Clause) { names = append(names, name) })
	assert.Equal(t, []string{"read"}, names, "a call that the architecture lacks")
}

// A profile that does not fit is an error, not a wrong jump.
func TestTooLarge(t *testing.T) {
	var rules strings.Builder
	for i := range 400 {
		answer := [...]string{"allow", "EPERM", "kill"}[i%3]
		rules.WriteString(answer + " c" + strconv.Itoa(i) + "=" + strconv.Itoa(i*3) + "\n")
	}
	p, err := Parse("f", head+rules.String(), nil)
	require.NoError(t, err)
	tab, err := p.Table(AMD64, anyNumber)
	require.NoError(t, err)
	_, err = tab.Compile()
	require.ErrorIs(t, err, ErrTooLarge)

	// Conditions that multiply.
	var clauses strings.Builder
	for i := range 15 {
		clauses.WriteString("EPERM when arg0 any " + strconv.Itoa(1<<i) + " and arg1 any " + strconv.Itoa(1<<i) + " and arg2 any " + strconv.Itoa(1<<i) + "\n")
	}
	p, err = Parse("f", head+"args a=5\n"+clauses.String()+"allow otherwise", nil)
	require.NoError(t, err)
	tab, err = p.Table(AMD64, anyNumber)
	require.NoError(t, err)
	_, err = tab.Compile()
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestVMRefuses(t *testing.T) {
	for name, raw := range map[string][]byte{
		"empty":     nil,
		"cut":       make([]byte, 7),
		"no return": Encode([]bpf.RawInstruction{{Op: 0x20}}),
		"unknown":   Encode([]bpf.RawInstruction{{Op: 0xff}, {Op: 0x06}}),
	} {
		_, err := NewVM(raw)
		assert.Error(t, err, name)
	}
}

// randomProfile has a few rules with overlapping conditions on few values, so
// that clauses shadow, repeat and contradict one another.
func randomProfile(r *rand.Rand) *Profile {
	actions := []Action{Allow, Kill, Errno(1), Errno(22), Errno(38)}
	action := func() Action { return actions[r.IntN(len(actions))] }
	p := &Profile{Unlisted: Errno(38), Foreign: action()}
	for i := range 1 + r.IntN(4) {
		rule := Rule{Name: "c" + strconv.Itoa(i), Number: int64(2*i + r.IntN(2))}
		for range r.IntN(4) {
			c := Clause{Action: action()}
			for _, arg := range r.Perm(2)[:1+r.IntN(2)] {
				w := Cond{Arg: arg}
				if r.IntN(3) == 0 {
					w.Bits = uint32(1+r.IntN(7)) << (31 * r.IntN(2))
				}
				for lo := uint32(r.IntN(4)); w.Bits == 0 && (len(w.In) == 0 || r.IntN(2) == 0); lo += 8 {
					w.In = append(w.In, Range{lo, lo + uint32(r.IntN(4))})
				}
				if w.Bits == 0 && r.IntN(4) == 0 {
					w.In = append(w.In, Range{math.MaxUint32 - uint32(r.IntN(3)), math.MaxUint32})
				}
				c.When = append(c.When, w)
			}
			rule.Clauses = append(rule.Clauses, c)
		}
		rule.Clauses = append(rule.Clauses, Clause{Action: action()})
		p.Rules = append(p.Rules, rule)
	}
	return p
}

func TestRandomProfiles(t *testing.T) {
	for seed := range uint64(80) {
		tab, err := randomProfile(rand.New(rand.NewPCG(seed, 0))).Table(AMD64, anyNumber)
		require.NoError(t, err)
		agree(t, tab)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Whatever text is accepted compiles to what it means, or is too large.
func FuzzProfile(f *testing.F) {
	f.Add(head + "allow read\nEPERM write x=7")
	f.Add(head + "args a\nallow when arg0 in 1 and arg1 any 2\nEPERM when arg0 in 1-5 9\nkill otherwise")
	f.Add(head + "args a b\nENOSYS when arg0 in 0xfffffffe-0xffffffff\nallow when arg0 any 7\nEINVAL when arg5 in 0\nEPERM otherwise")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("f", text, nil)
		if err != nil {
			return
		}
		conds := 0
		for _, r := range p.Rules {
			require.NotEmpty(t, r.Reason)
			require.NotEmpty(t, r.Clauses)
			last := r.Clauses[len(r.Clauses)-1]
			require.Empty(t, last.When)
			for _, c := range r.Clauses {
				for _, w := range c.When {
					conds += 1 + len(w.In)
				}
			}
		}
		tab, err := p.Table(AMD64, anyNumber)
		if err != nil || conds > 12 {
			return // the probes of more conditions take too long here
		}
		if _, err := tab.Compile(); err != nil {
			require.ErrorIs(t, err, ErrTooLarge)
			return
		}
		agree(t, tab)
	})
}
