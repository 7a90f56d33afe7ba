package jobspec

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// The values with more than one form.

func (n *Names) decode(d *decoder, node *yaml.Node, path string) {
	*n = list[string](d, node, path)
}

func (c *Codes) decode(d *decoder, node *yaml.Node, path string) {
	*c = list[Code](d, node, path)
}

func (r *Requires) decode(d *decoder, node *yaml.Node, path string) {
	*r = list[Require](d, node, path)
}

// list decodes one value, or a list.
func list[T any](d *decoder, node *yaml.Node, path string) []T {
	var all []T
	if node = d.resolve(node, path); node == nil {
		return nil
	}
	if node.Kind == yaml.SequenceNode {
		d.sequence(node, reflect.ValueOf(&all).Elem(), path)
		return all
	}
	all = make([]T, 1)
	d.value(node, reflect.ValueOf(&all[0]).Elem(), path)
	return all
}

func (w *Words) decode(d *decoder, node *yaml.Node, path string) {
	if node.Kind != yaml.SequenceNode {
		d.fail(node, path, "want a list of words%s", listHint(node))
		return
	}
	var all []string
	d.sequence(node, reflect.ValueOf(&all).Elem(), path)
	if len(all) == 0 || all[0] == "" && d.complete() {
		d.fail(node, path, "no program given")
	}
	*w = all
}

func (m *Matrix) decode(d *decoder, node *yaml.Node, path string) {
	*m = nil
	d.entries(node, path, func(key string, at, value *yaml.Node) {
		axis := Axis{Name: key, Values: list[string](d, value, join(path, key))}
		switch {
		case !validName(key) || strings.Contains(key, "."):
			d.fail(at, join(path, key), "want letters, digits, - and _ only")
		case len(axis.Values) == 0:
			d.fail(value, join(path, key), "has no values")
		}
		*m = append(*m, axis)
	})
	if len(*m) == 0 {
		d.fail(node, path, "has no names")
	}
}

func (s *Sides) decode(d *decoder, node *yaml.Node, path string) {
	*s = nil
	d.entries(node, path, func(key string, at, value *yaml.Node) {
		side := Side{Name: key}
		if !validName(key) {
			d.fail(at, join(path, key), "want letters, digits and ._- only")
		}
		d.structure(value, reflect.ValueOf(&side).Elem(), join(path, key))
		if len(side.Run) == 0 {
			d.fail(at, join(path, key), "has no run")
		}
		*s = append(*s, side)
	})
	if len(*s) < 2 {
		d.fail(node, path, "an interaction has at least two sides")
	}
}

func (p *Pipe) parse(text string) error {
	from, to, ok := strings.Cut(text, ">")
	p.From, p.To = strings.TrimSpace(from), strings.TrimSpace(to)
	if !ok || p.From == "" || p.To == "" || strings.Contains(p.To, ">") {
		return errors.New(quote(text) + " is no pipe; want NAME > NAME")
	}
	return nil
}

func (c *Check) decode(d *decoder, node *yaml.Node, path string) {
	*c = Check{}
	if node.Kind == yaml.MappingNode {
		d.structure(node, reflect.ValueOf(c).Elem(), path)
		if c.Checker == "" {
			c.guess()
		}
	} else {
		d.value(node, reflect.ValueOf(&c.Checker).Elem(), path)
	}
	if err := c.check(); err != nil && d.complete() {
		d.fail(node, path, "%w", err)
	}
}

// guess takes the checker from the fields that only one has.
func (c *Check) guess() {
	switch {
	case len(c.Program) > 0:
		c.Checker = "program"
	case c.Pattern != "":
		c.Checker = "regex"
	case c.Abs != nil || c.Rel != nil:
		c.Checker = "floats"
	default:
		c.Checker = "tokens"
	}
}

// check refuses fields that the checker does not look at.
func (c *Check) check() error {
	for _, x := range [...]struct {
		given bool
		name  string
		of    Checker
	}{
		{len(c.Program) > 0, "program", "program"},
		{c.Convention != "", "convention", "program"},
		{len(c.Inputs) > 0, "inputs", "program"},
		{len(c.File) > 0, "file", "program"},
		{c.Mem != nil, "mem", "program"},
		{c.Wall != nil, "wall", "program"},
		{c.Pattern != "", "pattern", "regex"},
		{c.Abs != nil, "abs", "floats"},
		{c.Rel != nil, "rel", "floats"},
	} {
		if x.given && c.Checker != x.of {
			return errors.New(x.name + " is a field of the checker " + string(x.of) + ", not of " + string(c.Checker))
		}
	}
	switch {
	case c.Checker == "program" && len(c.Program) == 0:
		return errors.New("the checker program needs the field program, a list of words")
	case c.Checker == "regex" && c.Pattern == "":
		return errors.New("the checker regex needs the field pattern")
	case c.IgnoreCase && (c.Checker == "exact" || c.Checker == "regex" || c.Checker == "program"):
		return errors.New("ignore-case is no field of the checker " + string(c.Checker))
	}
	return nil
}

func (f *Foreach) decode(d *decoder, node *yaml.Node, path string) {
	*f = Foreach{}
	switch node.Kind {
	case yaml.MappingNode:
		d.structure(node, reflect.ValueOf(f).Elem(), path)
	case yaml.SequenceNode:
		d.value(node, reflect.ValueOf(&f.List).Elem(), path)
	default:
		d.value(node, reflect.ValueOf(&f.Glob).Elem(), path)
	}
	given := 0
	for _, g := range [...]bool{f.Glob != "", f.Dir != "", f.List != nil} {
		if g {
			given++
		}
	}
	if given != 1 && d.complete() {
		d.fail(node, path, "want exactly one of glob, dir and list")
	}
	for i, c := range f.List {
		if c.Name != "" && !validName(c.Name) {
			d.fail(node, path+"["+strconv.Itoa(i)+"].name", "%s: want letters, digits and ._- only", quote(c.Name))
		}
	}
}

func (b *Bind) decode(d *decoder, node *yaml.Node, path string) {
	*b = Bind{}
	if node.Kind == yaml.MappingNode {
		d.structure(node, reflect.ValueOf(b).Elem(), path)
		if b.Source == "" && d.complete() {
			d.fail(node, path, "has no src")
		}
		if b.Target != "" && b.Target[0] != '/' {
			d.fail(node, path+".dst", "%s does not start with /", quote(b.Target))
		}
		return
	}
	text, ok := d.text(node, path)
	if !ok {
		return
	}
	if err := b.read(text); err != nil {
		d.fail(node, path, "%w", err)
	}
}

// read reads SRC[:DST][:OPTS] as the flag --bind does: the last part is
// options only if every word of it is one, so that no name of a file turns
// into a right.
func (b *Bind) read(text string) error {
	parts := strings.Split(text, ":")
	b.Source = parts[0]
	if n := len(parts); n > 1 && areOptions(parts[n-1]) {
		if err := b.options(parts[n-1]); err != nil {
			return err
		}
		parts = parts[:n-1]
	}
	switch {
	case b.Source == "":
		return errors.New(quote(text) + " has no SRC; want SRC[:DST][:OPTS]")
	case len(parts) == 2 && strings.HasPrefix(parts[1], "/"):
		b.Target = parts[1]
	case len(parts) == 2:
		return errors.New(quote(text) + ": " + quote(parts[1]) + " is neither a DST, which starts with /, nor OPTS of ro, rw, noexec, optional")
	case len(parts) > 2:
		return errors.New(quote(text) + " has too many colons; for such names the fields {src: SRC, dst: DST}")
	}
	return nil
}

func areOptions(part string) bool {
	for word := range strings.SplitSeq(part, ",") {
		switch word {
		case "ro", "rw", "noexec", "optional", "sockets":
		default:
			return false
		}
	}
	return true
}

func (b *Bind) options(part string) error {
	readOnly := false
	for word := range strings.SplitSeq(part, ",") {
		switch word {
		case "ro":
			readOnly = true
		case "rw":
			b.Writable = true
		case "noexec":
			b.NoExec = true
		case "optional":
			b.Optional = true
		case "sockets":
			return errors.New("sockets need --unsafe bind-sockets, which stands on a command line or nowhere")
		}
	}
	if readOnly && b.Writable {
		return errors.New("both ro and rw")
	}
	return nil
}

func (c *Copy) decode(d *decoder, node *yaml.Node, path string) {
	*c = Copy{}
	if node.Kind == yaml.MappingNode {
		d.structure(node, reflect.ValueOf(c).Elem(), path)
	} else if text, ok := d.text(node, path); ok {
		c.Source, c.Target, _ = strings.Cut(text, ":")
	}
	if d.complete() && (c.Source == "" || c.Target == "") {
		d.fail(node, path, "want SRC:DST")
	}
}

func (t *Tmpfs) decode(d *decoder, node *yaml.Node, path string) {
	*t = Tmpfs{}
	if node.Kind == yaml.MappingNode {
		d.structure(node, reflect.ValueOf(t).Elem(), path)
	} else if text, ok := d.text(node, path); ok {
		target, size, sized := strings.Cut(text, ":")
		t.Target = target
		if sized {
			t.Size = new(Bound)
			if err := t.Size.parse(size); err != nil {
				d.fail(node, path, "%w", err)
			}
		}
	}
	if d.decodable(node) && !strings.HasPrefix(t.Target, "/") {
		d.fail(node, path, "%s does not start with /; want DST[:SIZE]", quote(t.Target))
	}
}
