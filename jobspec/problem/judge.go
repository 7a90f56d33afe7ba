package problem

import (
	"slices"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
)

// A Judged is what became of one submission.
type Judged struct {
	*Submission
	Code     jobspec.Code
	Case     string // that decided, "" if none did
	Message  string
	AsWanted bool // it is what its directory allows; AC for one without
}

// Judge finds the verdict of each submission: the first that is not AC, in the
// order of the cases.
func (p *Package) Judge(b *jobspec.Batch, outcomes []batch.Outcome) []Judged {
	all := make([]Judged, len(p.Submissions))
	of := map[string]*Judged{}
	for i := range p.Submissions {
		s := &p.Submissions[i]
		all[i] = Judged{Submission: s, Code: jobspec.Accepted}
		of[s.Name], of[s.Name+buildSuffix] = &all[i], &all[i]
		if p.Interactive {
			for _, c := range p.Cases {
				of[s.Name+"-"+c.Name] = &all[i]
			}
		}
	}
	for i, j := range b.Jobs {
		o := &outcomes[i]
		x := of[j.Family]
		if x == nil || x.Code != jobspec.Accepted || o.Code == jobspec.Skipped || o.Code == jobspec.Accepted {
			continue
		}
		x.Code, x.Case, x.Message = o.Code, j.Case, o.Message
		if o.Code == "" {
			x.Code = jobspec.Skipped
		}
	}
	for i := range all {
		want := all[i].Expect
		if want == nil {
			want = []jobspec.Code{jobspec.Accepted}
		}
		all[i].AsWanted = slices.Contains(want, all[i].Code)
	}
	return all
}
