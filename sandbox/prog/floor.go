package prog

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteC writes the program as C, for the benchmark that compares a launch
// with the least that its calls can cost (bench/floor/floor.c): the table plan_slots
// and the functions plan_init and plan_job, which make the same calls in the
// same order as Start's child. It holds what Print hides.
//
// The error is w's, or names an operation that has no counterpart in C.
func (p *Program) WriteC(w io.Writer) error {
	c := cWriter{p: p}
	fmt.Fprintf(&c.head, "#define PLAN_FLAGS %#xUL\n\nstatic const struct plan_slot plan_slots[] = {\n", p.Flags)
	for s := range slotFirstFree + Slot(len(p.names)) {
		fmt.Fprintf(&c.head, "\t{%s, %d},\n", cString(p.slotName(s)), s)
	}
	c.head.WriteString("};\n\n")
	for _, l := range []struct {
		name  string
		steps []Step
	}{{"job", p.Job}, {"init", p.Init}} { // init calls job
		fmt.Fprintf(&c.body, "\nstatic void plan_%s(void)\n{\n", l.name)
		for i := range l.steps {
			if err := c.step(l.name, i, &l.steps[i]); err != nil {
				return err
			}
		}
		c.body.WriteString("}\n")
	}
	_, err := io.WriteString(w, c.head.String()+c.body.String())
	return err
}

// cWriter collects the data of the arguments, and the functions behind it.
type cWriter struct {
	p          *Program
	head, body strings.Builder
}

func (c *cWriter) step(list string, index int, s *Step) error {
	fmt.Fprintf(&c.body, "\t/* %s */\n\t", strings.ReplaceAll(c.p.Text(*s, false), "*/", "* /"))
	switch {
	case s.nr < opBase:
		c.call(list, index, s)
	case s.nr == opFork:
		fmt.Fprintf(&c.body, "if ((slot[%d] = floor_fork()) == 0)\n\t\tplan_job();\n", SlotMain)
	case s.nr == opStamp, s.nr == opKeepOnly, s.nr == opSendFds, s.nr == opSendListener:
		fmt.Fprintf(&c.body, "floor_%s(%#xUL);\n", strings.ReplaceAll(s.Name, "-", "_"), s.Args[0].n)
	case s.nr == opScrub, s.nr == opReap:
		fmt.Fprintf(&c.body, "floor_%s();\n", s.Name)
	default:
		return fmt.Errorf("step %d of %s, %s, has no form in C", index, list, s.Name)
	}
	return nil
}

// call writes floor_call(index, want, errnos to ignore, number, arguments).
func (c *cWriter) call(list string, index int, s *Step) {
	args := make([]string, 6)
	for i := range args {
		args[i] = "0L"
		if i < len(s.Args) {
			args[i] = c.arg(fmt.Sprintf("%s_%d_%d", list, index, i), &s.Args[i])
		}
	}
	if s.loopArg >= 0 {
		fmt.Fprintf(&c.body, "for (unsigned long n = %s; n <= %dUL; n++)\n\t\t", args[s.loopArg], s.loopTo)
		args[s.loopArg] = "n"
	}
	if s.saves {
		fmt.Fprintf(&c.body, "slot[%d] = ", s.save)
	}
	var ignore [3]string
	for i := range ignore {
		ignore[i] = "0"
		if i < len(s.ignore) {
			ignore[i] = strconv.Itoa(int(s.ignore[i]))
		}
	}
	name := "floor_call"
	if s.search {
		name = "floor_try"
	}
	fmt.Fprintf(&c.body, "%s(%d, %d, %s, %d, %s);\n", name, index, s.want, strings.Join(ignore[:], ", "), s.nr, strings.Join(args, ", "))
}

// arg returns the C expression of an argument; what it points to gets the name.
func (c *cWriter) arg(name string, x *Arg) string {
	switch x.kind {
	case argSlot:
		return fmt.Sprintf("slot[%d]", x.n)
	case argString:
		return "(long)" + cString(x.str)
	case argStrings:
		fmt.Fprintf(&c.head, "static char *%s[] = {", name)
		for _, s := range x.list {
			c.head.WriteString(cString(s) + ", ")
		}
		c.head.WriteString("0};\n")
		return "(long)" + name
	case argBytes:
		c.bytes(name, x.data)
		return "(long)" + name
	case argFilter:
		c.bytes(name+"_code", x.data)
		fmt.Fprintf(&c.head, "static struct sock_fprog %s = {%d, (struct sock_filter *)%s_code};\n", name, len(x.data)/8, name)
		return "(long)&" + name
	}
	return strconv.FormatInt(int64(x.n), 10) + "L"
}

func (c *cWriter) bytes(name string, data []byte) {
	fmt.Fprintf(&c.head, "static unsigned char %s[%d] __attribute__((aligned(8))) = {", name, max(len(data), 1))
	for _, b := range data {
		c.head.WriteString(strconv.Itoa(int(b)) + ",")
	}
	c.head.WriteString("};\n")
}

// cString quotes s for C. Three octal digits cannot swallow what follows.
func cString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '?' {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
