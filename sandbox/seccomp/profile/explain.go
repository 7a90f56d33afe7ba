package profile

import (
	"fmt"
	"strconv"
	"strings"
)

// Find returns the rule for a call, by its name, or nil: then Unlisted answers.
func (p *Profile) Find(name string) *Rule {
	for i := range p.Rules {
		if p.Rules[i].Name == name {
			return &p.Rules[i]
		}
	}
	return nil
}

// Lines are the answers of a rule, one a line, as a text has them.
func (r *Rule) Lines() []string {
	lines := make([]string, 0, len(r.Clauses))
	for i, c := range r.Clauses {
		switch {
		case len(r.Clauses) == 1:
			lines = append(lines, c.Action.String())
		case i == len(r.Clauses)-1:
			lines = append(lines, c.Action.String()+" otherwise")
		default:
			lines = append(lines, c.String())
		}
	}
	return lines
}

// String is the clause as a text has it.
func (c Clause) String() string {
	conds := make([]string, len(c.When))
	for i, w := range c.When {
		conds[i] = w.String()
	}
	return c.Action.String() + " when " + strings.Join(conds, " and ")
}

// String is the condition as a text has it; what texts cannot say reads alike.
func (c Cond) String() string {
	var b strings.Builder
	b.WriteString("arg" + strconv.Itoa(c.Arg))
	if c.High {
		b.WriteString("(high)")
	}
	if c.Bits != 0 {
		word := " any "
		if c.None {
			word = " none "
		}
		return b.String() + word + fmt.Sprintf("%#x", c.Bits)
	}
	b.WriteString(" in")
	for _, r := range c.In {
		b.WriteString(" " + r.String())
	}
	return b.String()
}

// String is the range as a text has it.
func (r Range) String() string {
	number := func(v uint32) string {
		if v < 1000 {
			return strconv.FormatUint(uint64(v), 10)
		}
		return fmt.Sprintf("%#x", v)
	}
	if r.Lo == r.Hi {
		return number(r.Lo)
	}
	return number(r.Lo) + "-" + number(r.Hi)
}
