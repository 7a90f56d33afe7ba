package batch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/check"
	"github.com/jailrun/jailrun/sandbox"
)

// An Interaction is what the programs of a job said to each other, and how each
// of them ended.
type Interaction struct {
	Sides      []SideReport `json:"sides"`
	Transcript []Message    `json:"transcript,omitempty"`
	Dropped    int64        `json:"dropped,omitempty"` // bytes beyond the cap of the transcript
	// Deadlock: all sides that ran were waiting for each other, and were ended.
	Deadlock bool   `json:"deadlock,omitempty"`
	Blame    string `json:"blame,omitempty"` // the side that was to act
	Why      string `json:"why,omitempty"`
}

// A SideReport is how one program ended.
type SideReport struct {
	Name     string          `json:"name"`
	Ended    int             `json:"ended"` // 1 ended first
	Sent     int64           `json:"sent"`
	Received int64           `json:"received"`
	Unread   int64           `json:"unread,omitempty"` // sent to it, and never read
	Stderr   *Text           `json:"stderr,omitempty"`
	Result   *sandbox.Result `json:"result"`
}

// A Message is one write of a side.
type Message struct {
	At   time.Duration `json:"at_ns"`
	From string        `json:"from"`
	Text string        `json:"text"`
	side int
}

// Defaults of an interaction.
const (
	transcriptRoom = 64 << 10
	patience       = time.Second
	// afterVerdict is how long the others may go on when the judge has spoken.
	afterVerdict = time.Second
)

// A duel is one interaction on its way.
type duel struct {
	*attempt
	x       *jobspec.Interact
	game    *game
	cmds    []*sandbox.Cmd
	results []*sandbox.Result
	errs    []*spool
	cancels []context.CancelFunc
	dead    bool
}

// interact runs the sides, all at the same time, and finds the verdict.
func (a *attempt) interact() (*sandbox.Result, error) {
	d, err := newDuel(a)
	if err != nil {
		return nil, err
	}
	var sides sync.WaitGroup
	over := make(chan struct{})
	for i := range d.cmds {
		ctx, cancel := context.WithCancel(a.ctx)
		d.cancels = append(d.cancels, cancel)
		sides.Go(func() {
			d.results[i], _ = a.launched(ctx, d.cmds[i])
			d.game.end(i)
		})
	}
	go func() { sides.Wait(); close(over) }()
	d.watch(over)
	for i := range d.cancels {
		d.cancels[i]()
		defer d.errs[i].close()
	}
	if a.ctx.Err() != nil {
		return unrun(nil, sandbox.Canceled), nil
	}
	c, finding := d.verdict()
	a.entry.Interaction = d.report()
	if d.dead {
		a.entry.Interaction.blame(d)
		c, finding = jobspec.TimeLimit, check.Finding{Message: "deadlock: " + a.entry.Interaction.Why}
	}
	a.entry.judge(a.job, c, finding)
	return d.results[d.main()], nil
}

func newDuel(a *attempt) (*duel, error) {
	x := a.job.Interact
	room := int64(transcriptRoom)
	if x.Transcript != nil {
		room = int64(*x.Transcript)
	}
	var pipes [][2]int
	for _, p := range x.Pipes {
		pipes = append(pipes, [2]int{side(x, p.From), side(x, p.To)})
	}
	d := &duel{attempt: a, x: x, game: newGame(len(x.Sides), pipes, room), results: make([]*sandbox.Result, len(x.Sides))}
	for i := range x.Sides {
		s := x.Sides[i]
		s.Flags = s.Flags.Over(a.job.Flags)
		spec, err := s.Spec(a.o.Load)
		if err != nil {
			return nil, fmt.Errorf("side %s: %w", s.Name, err)
		}
		a.place(&spec, s.Inputs, s.Place)
		d.errs = append(d.errs, newSpool(a.store.tmp()))
		d.cmds = append(d.cmds, &sandbox.Cmd{Spec: spec, Stdin: ear{d.game, i}, Stdout: mouth{d.game, i}, Stderr: d.errs[i]})
		if err := a.connect(d.cmds[i], &s.Flags); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func side(x *jobspec.Interact, name string) int {
	return slices.IndexFunc(x.Sides, func(s jobspec.Side) bool { return s.Name == name })
}

// judge is the side that decides, -1 if none does.
func (d *duel) judge() int {
	if d.x.Judge == "" {
		return -1
	}
	return side(d.x, d.x.Judge)
}

// main is the side whose result stands for the job: the first that does not
// decide.
func (d *duel) main() int {
	if d.judge() == 0 {
		return 1
	}
	return 0
}

// watch waits for the end of all sides. It ends them when all wait for each
// other for longer than patience, and those that still run a while after the
// judge has spoken.
func (d *duel) watch(over <-chan struct{}) {
	limit := patience
	if d.x.Patience != nil {
		limit = time.Duration(*d.x.Patience)
	}
	tick := time.NewTicker(max(min(limit/10, 50*time.Millisecond), time.Millisecond))
	defer tick.Stop()
	said, since := int64(-1), time.Now()
	var spoken time.Time
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		now, read := d.game.still()
		if now != said || !read || !d.blocked() {
			said, since = now, time.Now()
		} else if time.Since(since) >= limit {
			d.dead = true
			d.endAll()
		}
		if j := d.judge(); j >= 0 && d.ended(j) {
			if spoken.IsZero() {
				spoken = time.Now()
			} else if time.Since(spoken) > afterVerdict {
				d.endAll()
			}
		}
	}
}

func (d *duel) endAll() {
	for _, cancel := range d.cancels {
		cancel()
	}
}

func (d *duel) ended(side int) bool {
	d.game.mu.Lock()
	defer d.game.mu.Unlock()
	return d.game.order[side] > 0
}

// blocked tells whether every side that runs can only go on when another says
// something. A side of which that cannot be seen is not blocked: its limits
// end it.
func (d *duel) blocked() bool {
	for i, c := range d.cmds {
		if d.ended(i) {
			continue
		}
		if waits, err := c.Blocked(); err != nil || !waits {
			return false
		}
	}
	return true
}

// verdict is the judge's, unless a side came to a bad end before it.
func (d *duel) verdict() (jobspec.Code, check.Finding) {
	order := make([]int, len(d.cmds))
	for i, place := range d.game.order {
		order[place-1] = i
	}
	judge := d.judge()
	for _, i := range order {
		r := d.results[i]
		if i == judge {
			return d.judged(r)
		}
		if c, why := code(r); c != jobspec.Accepted && r.Verdict != sandbox.Canceled {
			return c, check.Finding{Message: "side " + d.x.Sides[i].Name + ": " + why}
		}
	}
	return jobspec.Accepted, check.Finding{OK: true}
}

// judged reads the exit status of the judge. A player that fails after it has
// spoken does not change what it said, unless that was acceptance.
func (d *duel) judged(r *sandbox.Result) (jobspec.Code, check.Finding) {
	if r.Verdict != sandbox.Exited || r.ExitCode == nil {
		_, why := code(r)
		return jobspec.Internal, check.Finding{Message: "the judge ended by " + string(r.Verdict) + ": " + why}
	}
	f, err := check.Exited(d.x.Convention, *r.ExitCode, "", string(d.errs[d.judge()].mem))
	if err != nil {
		return jobspec.Internal, check.Finding{Message: err.Error()}
	}
	for i, r := range d.results {
		if c, why := code(r); f.OK && i != d.judge() && c != jobspec.Accepted && r.Verdict != sandbox.Canceled {
			return c, check.Finding{Message: "side " + d.x.Sides[i].Name + ": " + why}
		}
	}
	return jobspec.Accepted, f
}

// report puts together what is known.
func (d *duel) report() *Interaction {
	g := d.game
	n := &Interaction{Transcript: g.said, Dropped: g.dropped}
	for i := range n.Transcript {
		n.Transcript[i].From = d.x.Sides[n.Transcript[i].side].Name
	}
	for i := range d.cmds {
		n.Sides = append(n.Sides, SideReport{
			Name: d.x.Sides[i].Name, Ended: g.order[i], Sent: g.sent[i], Received: g.boxes[i].received,
			Unread: g.boxes[i].unread, Stderr: d.errs[i].text(), Result: d.results[i],
		})
	}
	return n
}

// blame says who was to act in a deadlock. A line without its end was never
// read as one: its writer waits for an answer to what it has not said.
// Otherwise it is the turn of whom was spoken to last; but never the judge's,
// where another could have acted.
func (n *Interaction) blame(d *duel) {
	n.Deadlock = true
	g, judge := d.game, d.judge()
	name := func(i int) string { return d.x.Sides[i].Name }
	turn := -1
	if g.last >= 0 && len(g.to[g.last]) > 0 {
		turn = g.to[g.last][0]
	}
	switch {
	case g.last >= 0 && g.lines[g.last].open && g.last != judge:
		n.Blame, n.Why = name(g.last), name(g.last)+" waits for an answer, and its last line has no end"
	case g.last < 0 && judge >= 0:
		n.Blame = name(d.main())
		n.Why = "nobody has said anything; " + n.Blame + " does not write, or keeps it in a buffer"
	case g.last < 0:
		n.Why = "nobody has said anything, each waits for another"
	case turn >= 0 && turn != judge:
		n.Blame, n.Why = name(turn), name(turn)+" was spoken to last and waits for more, or keeps its answer in a buffer"
	default:
		n.Blame, n.Why = name(g.last), name(g.last)+" has spoken and waits, and so does the judge"
	}
}
