package batch

import (
	"crypto/sha256"

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

// Try makes sure that the sandbox takes a job, without launching it. Jobs of a
// shape that is in tried are not tried again.
func Try(j *jobspec.Instance, o jobspec.Options, tried map[[sha256.Size]byte]bool) error {
	one := func(s sandbox.Spec, err error) error {
		if err != nil {
			return err
		}
		key := shape(s)
		if tried[key] {
			return nil
		}
		tried[key] = true
		_, err = (&sandbox.Cmd{Spec: s}).Plan()
		return err
	}
	if j.Interact == nil {
		return one(j.Spec(o))
	}
	for k := range j.Interact.Sides {
		side := j.Interact.Sides[k]
		side.Flags = side.Flags.Over(j.Flags)
		if err := one(side.Spec(o)); err != nil {
			return err
		}
	}
	return nil
}
