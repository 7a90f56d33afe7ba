package profile

import (
	"math"
	"sort"
	"strconv"
	"strings"
)

// clause reads one line of an args block:
//
//	ANSWER when argN in VALUE FIRST-LAST... and argN any BITS
//	ANSWER otherwise
func (s *parser) clause(words []string) error {
	action, ok := parseAction(words[0])
	if !ok {
		return bad("%q is not an answer; args %s has no otherwise yet", words[0], s.pending[0].Name)
	}
	if len(s.clauses) == maxClauses {
		return bad("more than %d clauses", maxClauses)
	}
	if len(words) == 2 && words[1] == "otherwise" {
		if len(s.clauses) == 0 {
			return bad("otherwise needs a clause before it")
		}
		s.clauses = append(s.clauses, Clause{Action: action})
		s.close()
		return nil
	}
	if len(words) < 2 || words[1] != "when" {
		return bad("an answer is followed by when or otherwise")
	}
	c := Clause{Action: action}
	rest := words[2:]
	for {
		n := len(rest)
		for i, w := range rest {
			if w == "and" {
				n = i
				break
			}
		}
		cond, err := condition(rest[:n])
		if err != nil {
			return err
		}
		for _, other := range c.When {
			if other.Arg == cond.Arg {
				return bad("two conditions on arg%d in one clause", cond.Arg)
			}
		}
		c.When = append(c.When, cond)
		if n == len(rest) {
			break
		}
		rest = rest[n+1:]
	}
	s.clauses = append(s.clauses, c)
	return nil
}

func condition(words []string) (Cond, error) {
	if len(words) < 3 {
		return Cond{}, bad("a condition is: argN in VALUE..., or argN any BITS")
	}
	number, ok := strings.CutPrefix(words[0], "arg")
	arg, err := strconv.ParseUint(number, 10, 8)
	if !ok || err != nil || arg > 5 {
		return Cond{}, bad("%q is not arg0 to arg5", words[0])
	}
	c := Cond{Arg: int(arg)}
	switch words[1] {
	case "any":
		c.Bits, err = value(words[2])
		if err == nil && (len(words) > 3 || c.Bits == 0) {
			err = bad("any takes one number that is not 0")
		}
	case "in":
		c.In, err = ranges(words[2:])
	default:
		err = bad("%q is neither in nor any", words[1])
	}
	return c, err
}

// ranges returns the values in order; two that overlap are a mistake.
func ranges(words []string) ([]Range, error) {
	if len(words) > maxRanges {
		return nil, bad("more than %d values", maxRanges)
	}
	rs := make([]Range, 0, len(words))
	for _, w := range words {
		first, last, ok := strings.Cut(w, "-")
		if !ok {
			last = first
		}
		lo, err := value(first)
		if err != nil {
			return nil, err
		}
		hi, err := value(last)
		if err != nil {
			return nil, err
		}
		if hi < lo {
			return nil, bad("%s is empty", w)
		}
		rs = append(rs, Range{lo, hi})
	}
	sort.Slice(rs, func(i, j int) bool { return rs[i].Lo < rs[j].Lo })
	for i := 1; i < len(rs); i++ {
		if rs[i].Lo <= rs[i-1].Hi {
			return nil, bad("value %d is given twice", rs[i].Lo)
		}
	}
	if rs[0] == (Range{0, math.MaxUint32}) {
		return nil, bad("the condition always holds")
	}
	return rs, nil
}

// value reads a number as C writes it: 16, 0x10, 020.
func value(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		return 0, bad("%q is not a number of 32 bits", s)
	}
	return uint32(n), nil
}
