package jobspec

import (
	"reflect"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A decoder fills Go values from the nodes of one source. All that is wrong is
// collected, so that one run of --check tells everything.
type decoder struct {
	src    *source
	expand func(string) (string, error) // ${…}; nil leaves a value that holds one undecoded
	errs   *errorList
	budget *int // nodes that may still be visited, over all files of a batch
	depth  int  // of the value at hand
	// partial: names of matrix and case are not known yet; later tells that a
	// value was left for when they are.
	partial, later bool
}

// complete tells that every variable is known.
func (d *decoder) complete() bool { return d.expand != nil && !d.partial }

// errorList collects errors, the same one once: a template is decoded for
// every job that extends it.
type errorList struct {
	list Errors
	seen map[string]bool
}

func (l *errorList) add(err *FieldError) {
	text := err.Error()
	if l.seen[text] || len(l.list) >= mostErrors {
		return
	}
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	l.seen[text] = true
	l.list = append(l.list, err)
}

func (l *errorList) err() error {
	if len(l.list) == 0 {
		return nil
	}
	return l.list
}

// textValue is a value written as one word.
type textValue interface{ parse(text string) error }

// nodeValue decodes itself: a value with a short and a long form.
type nodeValue interface {
	decode(d *decoder, n *yaml.Node, path string)
}

var (
	textType = reflect.TypeFor[textValue]()
	nodeType = reflect.TypeFor[nodeValue]()
)

func (d *decoder) fail(n *yaml.Node, path, format string, a ...any) {
	d.errs.add(d.src.at(n, path, format, a...))
}

// resolve follows an alias and counts the visit. It returns nil when too much
// has been visited: aliases of aliases unfold to more than any memory holds.
func (d *decoder) resolve(n *yaml.Node, path string) *yaml.Node {
	if *d.budget--; *d.budget < 0 {
		d.fail(n, path, "aliases unfold to more than %d values", mostNodes)
		return nil
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode && !strings.HasPrefix(n.Tag, "!!") {
		d.fail(n, path, "the tag %s is not known here; leave it out", quote(n.Tag))
		return nil
	}
	return n
}

// value decodes n into v, which can be set.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if n = d.resolve(n, path); n == nil {
		return
	}
	if d.depth++; d.depth > mostDepth {
		d.fail(n, "", "nested more than %d deep", mostDepth)
	} else if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		if d.decodable(n) {
			v.Set(fresh)
		}
		d.into(n, fresh.Elem(), path)
	} else {
		d.into(n, v, path)
	}
	d.depth--
}

// decodable tells whether n can be decoded now: a value with a variable cannot
// where none is known yet.
func (d *decoder) decodable(n *yaml.Node) bool {
	return d.complete() || n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "${")
}

// into decodes n, which is no alias, into v, which is no pointer.
func (d *decoder) into(n *yaml.Node, v reflect.Value, path string) {
	p := v.Addr()
	switch {
	case p.Type().Implements(nodeType):
		p.Interface().(nodeValue).decode(d, n, path)
		return
	case p.Type().Implements(textType):
		if text, ok := d.text(n, path); ok {
			if err := p.Interface().(textValue).parse(text); err != nil {
				d.fail(n, path, "%w", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		if text, ok := d.text(n, path); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		d.boolean(n, v, path)
	case reflect.Int:
		d.integer(n, v, path)
	case reflect.Float64:
		d.number(n, v, path)
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.fail(n, path, "bug: no decoder for %s, please report", v.Type())
	}
}

// sequence replaces a list as a whole.
func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "want a list, [a, b] or lines that start with -%s", listHint(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.value(c, list.Index(i), path+"["+strconv.Itoa(i)+"]")
	}
	v.Set(list)
}

// listHint shows a command line that was written as one string as words.
func listHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		return ""
	}
	words := strings.Fields(n.Value)
	if len(words) == 1 {
		return "; did you mean [" + words[0] + "]?"
	}
	return "; a command line for a shell is [sh, -c, " + quote(n.Value) + "]"
}

// mapping adds to a map with string keys: of the same key the last stands.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	merged := reflect.MakeMap(v.Type())
	for _, k := range v.MapKeys() {
		merged.SetMapIndex(k, v.MapIndex(k))
	}
	d.entries(n, path, func(key string, _, value *yaml.Node) {
		slot := reflect.New(v.Type().Elem()).Elem()
		d.value(value, slot, path+"."+key)
		merged.SetMapIndex(reflect.ValueOf(key), slot)
	})
	v.Set(merged)
}

// entries calls do for each field of a mapping, duplicates refused.
func (d *decoder) entries(n *yaml.Node, path string, do func(key string, at, value *yaml.Node)) {
	if n = d.resolve(n, path); n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		d.fail(n, path, "has no fields; leave it out, or write {}")
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "want fields, name: value")
		return
	}
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		switch before, twice := first[k.Value]; {
		case k.Kind != yaml.ScalarNode:
			d.fail(k, path, "the name of a field is one word")
			continue
		case k.Tag == "!!merge":
			d.fail(k, path, "merge keys are not taken; use extends and templates")
			continue
		case strings.IndexByte(k.Value, 0) >= 0 || k.Value == "":
			d.fail(k, path, "the name of a field is empty or holds a NUL byte")
			continue
		case twice:
			d.fail(k, join(path, k.Value), "is given twice, first in line %d", before.Line)
			continue
		}
		first[k.Value] = k
		do(k.Value, k, value)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// structure sets the fields that are there and leaves the others.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	d.entries(n, path, func(key string, at, value *yaml.Node) {
		f, ok := fields.byName[key]
		if !ok {
			d.fail(at, join(path, key), "%w", unknownField(key, fields.names))
			return
		}
		d.value(value, v.FieldByIndex(f.index), join(path, key))
	})
}
