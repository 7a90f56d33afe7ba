package jobspec

import (
	"maps"
	"slices"
)

// link finds what each job needs and refuses circles.
func (l *loader) link(b *Batch) {
	families := map[string][]int{}
	ids := make(map[string]bool, len(b.Jobs))
	var names []string
	for i, j := range b.Jobs {
		if families[j.Family] == nil {
			names = append(names, j.Family)
		}
		families[j.Family] = append(families[j.Family], i)
		if ids[j.ID] {
			l.failAt(j.entry, "matrix", "two jobs are called %s", quote(j.ID))
		}
		ids[j.ID] = true
	}
	edges := 0
	for i, j := range b.Jobs {
		for k, name := range j.Job.Needs {
			if slices.Contains(j.Job.Needs[:k], name) {
				continue
			}
			if families[name] == nil {
				l.failAt(j.entry, "needs", "no job is called %s%s", quote(name), didYouMean(name, names))
			}
			j.Needs = append(j.Needs, matching(b, families[name], j)...)
		}
		for _, o := range j.outputs() {
			if l.options.Detached {
				break
			}
			l.linkOutput(b, i, o, families, names)
		}
		if g := j.Group; g != "" && !slices.ContainsFunc(b.Groups, func(x NamedGroup) bool { return x.Name == g }) {
			l.failAt(j.entry, "group", "no group is called %s under groups", quote(g))
		}
		if edges += len(j.Needs); edges > mostEdges {
			l.failAt(j.entry, "needs", "the jobs need each other in more than %d ways", mostEdges)
			return
		}
	}
	if len(l.errs.list) == 0 {
		l.refuseCircles(b)
		l.hideAnswers(b)
		l.checkGroups(b)
	}
}

// mostEdges bounds the pairs of jobs of which one needs the other: a thousand
// cases that need a thousand are a million.
const mostEdges = 2_000_000

// outputs lists the outputs that a job takes from others, in a fixed order.
func (i *Instance) outputs() []Output {
	set := map[Output]bool{}
	add := func(inputs map[string]Output) {
		for _, o := range inputs {
			set[o] = true
		}
	}
	add(i.Inputs)
	if i.Check != nil {
		add(i.Check.Inputs)
	}
	if i.Interact != nil {
		for k := range i.Interact.Sides {
			add(i.Interact.Sides[k].Inputs)
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// matching lists the jobs of a family that belong to j: those with the same
// values where both have a matrix of that name, and the same case if there is
// one.
func matching(b *Batch, family []int, j *Instance) []int {
	if len(j.Axes) == 0 && j.Case == "" {
		return family
	}
	var same, sameCase []int
	for _, n := range family {
		o := b.Jobs[n]
		ok := true
		for k, v := range o.Axes {
			if own, both := j.Axes[k]; both && own != v {
				ok = false
			}
		}
		if ok {
			same = append(same, n)
			if j.Case != "" && o.Case == j.Case {
				sameCase = append(sameCase, n)
			}
		}
	}
	if len(sameCase) > 0 {
		return sameCase
	}
	return same
}

// linkOutput finds the one job that an output comes from.
func (l *loader) linkOutput(b *Batch, i int, o Output, families map[string][]int, names []string) {
	j := b.Jobs[i]
	job, name := o.Split()
	if families[job] == nil {
		l.failAt(j.entry, "inputs", "%s: no job is called %s%s", o, quote(job), didYouMean(job, names))
		return
	}
	from := matching(b, families[job], j)
	if len(from) != 1 {
		l.failAt(j.entry, "inputs", "%s: %s is %d jobs; name the values of its matrix in this job's own, so that one is meant", o, quote(job), len(from))
		return
	}
	if source := b.Jobs[from[0]]; !source.has(name) {
		l.failAt(j.entry, "inputs", "%s: %s has no such output%s", o, quote(job), didYouMean(name, slices.Collect(maps.Keys(source.Outputs))))
		return
	}
	if !slices.Contains(j.Needs, from[0]) {
		j.Needs = append(j.Needs, from[0])
	}
	if j.From == nil {
		j.From = map[Output]int{}
	}
	j.From[o] = from[0]
}

// has tells whether a job leaves an output of that name.
func (i *Instance) has(name string) bool {
	_, ok := i.Outputs[name]
	return ok || name == i.Stdout || name == i.Stderr
}

// refuseCircles walks over the needs in depth, without recursion: a chain may
// be as long as the batch.
func (l *loader) refuseCircles(b *Batch) {
	waits := make([]int, len(b.Jobs))
	wanted := make([][]int, len(b.Jobs))
	var ready []int
	for i, j := range b.Jobs {
		waits[i] = len(j.Needs)
		for _, n := range j.Needs {
			wanted[n] = append(wanted[n], i)
		}
		if waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	done := 0
	for ; done < len(ready); done++ {
		for _, w := range wanted[ready[done]] {
			if waits[w]--; waits[w] == 0 {
				ready = append(ready, w)
			}
		}
	}
	if done == len(b.Jobs) {
		return
	}
	for i, j := range b.Jobs {
		if waits[i] > 0 {
			l.failAt(j.entry, "needs", "goes round in a circle: %s", circle(b, waits, i))
			return
		}
	}
}

// circle names the jobs of a circle that i leads into.
func circle(b *Batch, waits []int, i int) string {
	at := map[int]int{}
	var path []int
	for {
		if start, seen := at[i]; seen {
			path = path[start:]
			break
		}
		at[i] = len(path)
		path = append(path, i)
		for _, n := range b.Jobs[i].Needs {
			if waits[n] > 0 {
				i = n
				break
			}
		}
	}
	text := ""
	for k, n := range path {
		if k == 8 {
			return text + "… needs " + b.Jobs[path[0]].ID
		}
		text += b.Jobs[n].ID + " needs "
	}
	return text + b.Jobs[path[0]].ID
}

// checkGroups refuses needs of groups that do not exist or go in a circle.
func (l *loader) checkGroups(b *Batch) {
	for i, g := range b.Groups {
		for _, need := range g.Needs {
			k := slices.IndexFunc(b.Groups, func(x NamedGroup) bool { return x.Name == need })
			switch {
			case k < 0:
				l.fail("groups."+g.Name+".needs", "no group is called %s", quote(need))
			case k >= i:
				l.fail("groups."+g.Name+".needs", "%s stands later in the file; groups are in order", quote(need))
			}
		}
	}
}
