package jobspec

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A Batch is what a job file asks for: every job, with its variables put in.
type Batch struct {
	Name   string
	Jobs   []*Instance // in the order in which they may start, needs and priority aside
	Groups []NamedGroup
}

// An Instance is one job: an entry under jobs:, or one combination or case of
// it.
type Instance struct {
	ID     string // NAME, NAME/VALUE/…, NAME/…/CASE
	Family string // the name under jobs:
	Job
	Axes  map[string]string // of the matrix
	Case  string            // name of the case
	Needs []int             // indices of jobs that must have passed
	From  map[Output]int    // where the inputs come from
	entry *entry
}

// expand makes the jobs.
func (l *loader) expand() *Batch {
	b := &Batch{Groups: l.all.Groups}
	if len(l.all.Jobs) == 0 {
		l.fail("jobs", "there are none")
		return b
	}
	for i := range l.all.Template {
		l.tryTemplate(&l.all.Template[i])
	}
	for i := range l.all.Jobs {
		if b.Jobs = l.family(&l.all.Jobs[i], b.Jobs); len(l.errs.list) >= mostErrors {
			return b
		}
		if len(b.Jobs) > mostJobs {
			l.failAt(&l.all.Jobs[i], "", "makes more than %d jobs", mostJobs)
			return b
		}
	}
	if len(l.errs.list) == 0 {
		l.link(b)
	}
	return b
}

// tryTemplate decodes a template by itself, so that its mistakes are told also
// if no job uses it.
func (l *loader) tryTemplate(e *entry) {
	var j Job
	l.decode(e, &j, nil, false)
	l.layers(e, nil)
}

// decode puts the fields of an entry over what j holds. With a nil scope,
// values with variables are passed over.
func (l *loader) decode(e *entry, j *Job, s scope, partial bool) (later bool) {
	d := &decoder{src: e.src, errs: &l.errs, budget: &l.budget, partial: partial}
	if s != nil {
		d.expand = s.expand
	}
	if e.node != nil {
		d.structure(e.node, reflect.ValueOf(j).Elem(), e.name)
	}
	return d.later
}

// layers lists what an entry is made of, the base first.
func (l *loader) layers(e *entry, inside []string) []*entry {
	var j struct {
		Extends Names `yaml:"extends"`
	}
	d := &decoder{src: e.src, errs: &errorList{}, budget: &l.budget, expand: l.vars.expand, partial: true}
	if n := d.resolve(e.node, ""); n != nil {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "extends" {
				d.value(n.Content[i+1], reflect.ValueOf(&j.Extends).Elem(), "")
			}
		}
	}
	var all []*entry
	for _, name := range j.Extends {
		t := l.known["templates."+name]
		switch {
		case name == "": // told when the fields are decoded
		case t == nil:
			l.failAt(e, "extends", "no template is called %s%s", quote(name), didYouMean(name, l.all.Template.names()))
		case slices.Contains(inside, name) || len(inside) > mostDepth:
			l.failAt(e, "extends", "%s extends itself", quote(name))
		default:
			all = append(all, l.layers(t, append(inside, name))...)
		}
		if len(all) > 1000 {
			l.failAt(e, "extends", "more than 1000 templates")
			return nil
		}
	}
	return append(all, e)
}

// build decodes all layers of a job.
func (l *loader) build(layers []*entry, s scope, partial bool) (j Job, later bool) {
	for i := range l.bases {
		later = l.decode(&l.bases[i], &j, s, partial) || later
	}
	for _, e := range layers {
		later = l.decode(e, &j, s, partial) || later
	}
	return j, later
}

// family appends the jobs that one entry makes.
func (l *loader) family(e *entry, to []*Instance) []*Instance {
	layers := l.layers(e, nil)
	j, later := l.build(layers, l.vars, true)
	if len(l.errs.list) > 0 {
		return to
	}
	cases := l.cases(e, j.Foreach)
	combos := l.combinations(e, j.Matrix, j.Exclude)
	if len(combos)*len(cases) > mostJobs {
		l.failAt(e, "", "makes more than %d jobs", mostJobs)
		return to
	}
	for _, axes := range combos {
		for _, c := range cases {
			one := &Instance{ID: e.name, Family: e.name, Job: j, Axes: axes, entry: e}
			if later {
				one.Job, _ = l.build(layers, l.vars.with(names(axes, c)), false)
			}
			for _, a := range j.Matrix {
				one.ID += "/" + axes[a.Name]
			}
			if c != nil {
				one.take(c)
			}
			l.check(one)
			if to = append(to, one); len(l.errs.list) > 0 {
				return to
			}
		}
	}
	return to
}

// names are the variables that only this job has.
func names(axes map[string]string, c *Case) map[string]string {
	all := make(map[string]string, len(axes)+1)
	for k, v := range axes {
		all["matrix."+k] = v
	}
	if c != nil {
		all["case.name"] = c.Name
	}
	return all
}

// take puts a case into the job; what the job itself says wins.
func (i *Instance) take(c *Case) {
	i.Case = c.Name
	i.ID += "/" + c.Name
	if i.Stdin == "" && i.Input == nil {
		i.Stdin, i.Input = c.Stdin, c.Input
	}
	if i.Answer == "" && i.AnswerText == nil {
		i.Answer, i.AnswerText = c.Answer, c.AnswerText
	}
	if c.Points != nil {
		i.Points = c.Points
	}
	if c.Group != "" {
		i.Group = c.Group
	}
}

// combinations lists those of a matrix that are not excluded; one without a
// matrix.
func (l *loader) combinations(e *entry, m Matrix, exclude []map[string]string) []map[string]string {
	all := []map[string]string{nil}
	for _, axis := range m {
		if len(all)*len(axis.Values) > mostJobs {
			l.failAt(e, "matrix", "makes more than %d jobs", mostJobs)
			return nil
		}
		var more []map[string]string
		for _, before := range all {
			for _, v := range axis.Values {
				one := maps.Clone(before)
				if one == nil {
					one = map[string]string{}
				}
				one[axis.Name] = v
				more = append(more, one)
			}
		}
		all = more
	}
	for _, x := range exclude {
		for k := range x {
			if !slices.ContainsFunc(m, func(a Axis) bool { return a.Name == k }) {
				l.failAt(e, "exclude", "the matrix has no %s", quote(k))
			}
		}
	}
	return slices.DeleteFunc(all, func(one map[string]string) bool {
		return slices.ContainsFunc(exclude, func(x map[string]string) bool { return len(x) > 0 && within(x, one) })
	})
}

// within tells whether all of x is in one.
func within(x, one map[string]string) bool {
	for k, v := range x {
		if one[k] != v {
			return false
		}
	}
	return true
}

// failAt is an error at the name of an entry.
func (l *loader) failAt(e *entry, field, format string, a ...any) {
	path := e.name
	if field != "" {
		path = strings.TrimPrefix(path+"."+field, ".")
	}
	l.errs.add(e.src.at(e.place(field), path, format, a...))
}
