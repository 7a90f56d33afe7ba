package jobspec

import (
	"reflect"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A File is a job file as it is written.
type File struct {
	Version  *int                `yaml:"version" doc:"of this format: 1"`
	Name     string              `yaml:"name" doc:"of the batch; shown in reports"`
	Vars     map[string]Variable `yaml:"vars" doc:"variables, ${NAME}: a default, or {} for one that the command line must give (--var NAME=VALUE, --var-env NAME)"`
	Include  Names               `yaml:"include" doc:"further job files, below the directory of this one"`
	Defaults entry               `yaml:"defaults" doc:"fields that every job starts from"`
	Template table               `yaml:"templates" doc:"named sets of fields for extends"`
	Groups   groupTable          `yaml:"groups" doc:"groups of cases (subtasks) and their points"`
	Jobs     table               `yaml:"jobs" doc:"the jobs, by name; started in this order as far as needs and priority leave it"`
}

// A Variable is the default of a variable; nil if it has none.
type Variable struct{ Default *string }

func (v *Variable) decode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		return
	}
	// A variable stands for itself: what it holds is not looked into.
	as := *d
	as.expand = func(text string) (string, error) { return text, nil }
	text := ""
	as.value(n, reflect.ValueOf(&text).Elem(), path)
	v.Default = &text
}

// An entry is a set of a job's fields that is decoded later, once for each job
// made of it, when the variables are known.
type entry struct {
	name string
	src  *source
	at   *yaml.Node // the name
	node *yaml.Node // the fields; nil if there are none
}

func (e *entry) decode(d *decoder, n *yaml.Node, path string) {
	*e = entry{name: path, src: d.src, at: n, node: n}
}

// place is where the entry gives a field, or the entry itself where the field is
// of a template or not given.
func (e *entry) place(field string) *yaml.Node {
	at, node := e.at, e.node
	for name := range strings.SplitSeq(field, ".") {
		if node == nil || node.Kind != yaml.MappingNode {
			return at
		}
		fields := node.Content
		node = nil
		for i := 0; i+1 < len(fields); i += 2 {
			if fields[i].Value == name {
				at, node = fields[i], fields[i+1]
			}
		}
	}
	return at
}

// A table is a mapping of entries in the order of the file.
type table []entry

func (t *table) decode(d *decoder, n *yaml.Node, path string) {
	d.entries(n, path, func(key string, at, value *yaml.Node) {
		if !validName(key) {
			d.fail(at, join(path, key), "want letters, digits and ._- only, and a letter, digit or _ first")
		}
		*t = append(*t, entry{key, d.src, at, value})
	})
}

// A groupTable holds the groups in the order of the file.
type groupTable []NamedGroup

// A NamedGroup is a group with its name.
type NamedGroup struct {
	Name string
	Group
}

func (g *groupTable) decode(d *decoder, n *yaml.Node, path string) {
	d.entries(n, path, func(key string, at, value *yaml.Node) {
		if !validName(key) {
			d.fail(at, join(path, key), "want letters, digits and ._- only")
		}
		x := NamedGroup{Name: key}
		d.value(value, reflect.ValueOf(&x.Group).Elem(), join(path, key))
		*g = append(*g, x)
	})
}

func (t table) names() []string {
	names := make([]string, len(t))
	for i := range t {
		names[i] = t[i].name
	}
	return names
}
