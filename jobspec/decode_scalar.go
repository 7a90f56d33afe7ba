package jobspec

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// text returns a scalar as it was written, with its variables put in. ok is
// false if there is none, or not yet.
func (d *decoder) text(n *yaml.Node, path string) (text string, ok bool) {
	switch {
	case n.Kind == yaml.SequenceNode:
		d.fail(n, path, "want one value, not a list")
		return "", false
	case n.Kind == yaml.MappingNode:
		d.fail(n, path, "want one value, not fields")
		return "", false
	case n.Tag == "!!null" && n.Value == "":
		d.fail(n, path, "has no value; leave the field out, or write \"\"")
		return "", false
	case !strings.HasPrefix(n.Tag, "!!") || n.Tag == "!!binary":
		d.fail(n, path, "the tag %s is not known here; leave it out", quote(n.Tag))
		return "", false
	case strings.IndexByte(n.Value, 0) >= 0:
		d.fail(n, path, "holds a NUL byte")
		return "", false
	}
	if !strings.Contains(n.Value, "${") {
		return n.Value, true
	}
	if d.expand == nil {
		d.later = true
		return "", false
	}
	text, err := d.expand(n.Value)
	if err != nil && d.partial && errors.Is(err, errLater) {
		d.later = true
		return "", false
	}
	if err != nil {
		d.fail(n, path, "%w", err)
		return "", false
	}
	return text, true
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.text(n, path)
	switch {
	case !ok:
	case text == "true":
		v.SetBool(true)
	case text == "false":
		v.SetBool(false)
	default:
		d.fail(n, path, "%s is neither true nor false", quote(text))
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	i, err := strconv.Atoi(text)
	if err != nil {
		d.fail(n, path, "%s is not a whole number", quote(text))
		return
	}
	v.SetInt(int64(i))
}

func (d *decoder) number(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != f || f < 0 || f > 1e15 {
		d.fail(n, path, "%s is not a number of at least 0", quote(text))
		return
	}
	v.SetFloat(f)
}
