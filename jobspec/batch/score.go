package batch

import (
	"crypto/sha256"
	"reflect"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox"
)

// A Total is what a batch comes to.
type Total struct {
	Counts map[jobspec.Code]int
	Ran    int // jobs with an outcome
	Passed int
	Scored bool // there were points to get
	Points float64
	Of     float64
	Groups []GroupTotal
}

// A GroupTotal is what a group comes to.
type GroupTotal struct {
	Name         string
	Points, Of   float64
	Passed, Jobs int
}

// Score adds up. It is pure.
func Score(b *jobspec.Batch, s *Summary) *Total {
	t := &Total{Counts: map[jobspec.Code]int{}}
	cases := map[string][]int{}
	for i, j := range b.Jobs {
		o := &s.Outcomes[i]
		if o.Code != "" {
			t.Ran++
			t.Counts[o.Code]++
		}
		if o.Passed {
			t.Passed++
		}
		switch {
		case j.Group != "":
			cases[j.Group] = append(cases[j.Group], i)
		case j.Points != nil:
			t.Scored = true
			t.Of += *j.Points
			t.Points += max(o.Points, 0)
		}
	}
	full := map[string]bool{}
	for _, g := range b.Groups {
		x := group(b, s, &g, cases[g.Name])
		for _, need := range g.Needs {
			if !full[need] {
				x.Points = 0
			}
		}
		full[g.Name] = x.Points >= x.Of
		t.Scored = t.Scored || x.Of > 0
		t.Points += x.Points
		t.Of += x.Of
		t.Groups = append(t.Groups, x)
	}
	return t
}

// group adds up the cases of one group.
func group(b *jobspec.Batch, s *Summary, g *jobspec.NamedGroup, cases []int) GroupTotal {
	x := GroupTotal{Name: g.Name, Jobs: len(cases)}
	sum, most, least := 0.0, 0.0, 1.0
	for _, i := range cases {
		o, of := &s.Outcomes[i], 1.0
		if p := b.Jobs[i].Points; p != nil {
			of = *p
		}
		got := 0.0
		switch {
		case o.Points >= 0:
			got = o.Points
		case o.Code == jobspec.Accepted:
			got = of
		}
		sum, most = sum+got, most+of
		if of > 0 {
			least = min(least, got/of)
		}
		if o.Code == jobspec.Accepted {
			x.Passed++
		}
	}
	if x.Of = most; g.Points != nil {
		x.Of = *g.Points
	}
	switch {
	case len(cases) == 0 || most == 0:
	case g.Mode == "sum":
		x.Points = x.Of * sum / most
	case g.Mode == "min":
		x.Points = x.Of * least
	case x.Passed == x.Jobs:
		x.Points = x.Of
	}
	return x
}

// Shapes are the different sandboxes that the programs of a batch ask for, with
// the network of each as [jobspec.Flags.Network] returns it.
type Shapes map[[sha256.Size]byte]bool

// Try lets try have a look at each sandbox of a job that is of a new shape.
func (known Shapes) Try(j *jobspec.Instance, o jobspec.Options, try func(s sandbox.Spec, network []string) error) error {
	one := func(s sandbox.Spec, network []string, err error) error {
		if err != nil {
			return err
		}
		key := sha256.Sum256(appendValue(appendShape(nil, s), reflect.ValueOf(network)))
		if known[key] {
			return nil
		}
		known[key] = true
		return try(s, network)
	}
	if j.Interact == nil {
		s, err := j.Spec(o)
		return one(s, j.Network(), err)
	}
	for k := range j.Interact.Sides {
		side := j.Interact.Sides[k]
		side.Flags = side.Flags.Over(j.Flags)
		s, err := side.Spec(o)
		if err := one(s, side.Network(), err); err != nil {
			return err
		}
	}
	return nil
}
