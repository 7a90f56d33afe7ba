package limits

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// model is a kernel that keeps CPU times as Linux does, and shows them in the
// same rounding.
type model struct {
	tally   tally
	all     []*modelProcess // pid 1 first
	left    []account
	truth   time.Duration // CPU time of all that ever ran, without pid 1
	unowned time.Duration // of processes that nobody waited for: burnt after the last sample of them
}

type modelProcess struct {
	account
	parent            *modelProcess
	user, system      time.Duration
	kidsUser, kidsSys time.Duration
	threaded, ignores bool
	seen, kidsSeen    time.Duration // at the last sample
}

func newModel() *model { return &model{all: []*modelProcess{{}}} }

func (m *model) fork(parent *modelProcess) *modelProcess {
	p := &modelProcess{parent: parent}
	m.all = append(m.all, p)
	return p
}

func (m *model) burn(p *modelProcess, user, system time.Duration) {
	p.user, p.system = p.user+user, p.system+system
	m.truth += user + system
}

// exit ends a process; its children go to pid 1, its time to its parent.
func (m *model) exit(p *modelProcess) {
	m.all = slices.DeleteFunc(m.all, func(q *modelProcess) bool { return q == p })
	for _, q := range m.all {
		if q.parent == p {
			q.parent = m.all[0]
		}
	}
	if p.parent.ignores {
		m.unowned += p.user + p.system - p.seen + p.kidsUser + p.kidsSys - p.kidsSeen
	} else {
		p.parent.kidsUser += p.user + p.kidsUser
		p.parent.kidsSys += p.system + p.kidsSys
	}
	p.gone = true
	m.left = append(m.left, p.account)
}

func ticks(d time.Duration) time.Duration { return d / tick * tick }

func (m *model) sample() time.Duration {
	for _, p := range m.all {
		own := ticks(p.user) + ticks(p.system)
		if !p.threaded {
			own = p.user + p.system
		}
		p.seen, p.kidsSeen = p.user+p.system, p.kidsUser+p.kidsSys
		if p == m.all[0] {
			own = 0
		}
		p.read(own, ticks(p.kidsUser)+ticks(p.kidsSys))
		if p.parent != nil {
			p.parent.isParent = true
		}
	}
	m.tally.settle(func(yield func(*account) bool) {
		for i := range m.left {
			if !yield(&m.left[i]) {
				return
			}
		}
		for _, p := range m.all {
			if !yield(&p.account) {
				return
			}
		}
	})
	m.left = nil
	return m.tally.total
}

const ms = time.Millisecond

func TestTallyCountsOnceWhatIsReaped(t *testing.T) {
	m := newModel()
	shell := m.fork(m.all[0])
	for i := range 100 {
		child := m.fork(shell)
		m.burn(child, 3*ms, 1500*time.Microsecond)
		m.sample()
		m.burn(child, 2*ms, 0)
		m.exit(child)
		if i%3 == 0 {
			m.sample()
		}
		assert.InDelta(t, m.truth, m.sample(), float64(2*2*tick), "round %d", i)
	}
	m.exit(shell)
	total := m.sample()
	assert.InDelta(t, m.truth, total, float64(2*tick))
	assert.LessOrEqual(t, total, m.truth)
}

func TestTallyKeepsWhatIsNotWaitedFor(t *testing.T) {
	m := newModel()
	parent := m.fork(m.all[0])
	parent.ignores = true
	for range 50 {
		child := m.fork(parent)
		m.burn(child, 60*ms, 0)
		m.sample()
		m.burn(child, 5*ms, 0)
		m.exit(child)
	}
	total := m.sample()
	assert.Equal(t, 50*60*ms, total, "A101: what was seen stays counted")
	assert.Equal(t, 50*5*ms, m.unowned)
}

// Time that never comes must not hide time that does.
func TestTallyForgetsWhatNeverComes(t *testing.T) {
	m := newModel()
	careless, shell := m.fork(m.all[0]), m.fork(m.all[0])
	careless.ignores = true
	for range 10 {
		child := m.fork(careless)
		m.burn(child, 100*ms, 0)
		m.sample()
		m.exit(child)
		m.sample()
	}
	for range 10 { // too short for any sample
		child := m.fork(shell)
		m.burn(child, 50*ms, 0)
		m.exit(child)
		m.sample()
	}
	assert.InDelta(t, m.truth, m.sample(), float64(2*2*2*tick))
}

func TestTallyOfAGrandchildReapedWithItsParent(t *testing.T) {
	m := newModel()
	a := m.fork(m.all[0])
	b := m.fork(a)
	c := m.fork(b)
	m.burn(c, 500*ms, 0)
	m.sample()
	m.exit(c)
	m.exit(b)
	assert.Equal(t, 500*ms, m.sample())
	orphan := m.fork(m.fork(a))
	m.burn(orphan, 100*ms, 0)
	m.sample()
	m.exit(orphan.parent)
	m.exit(orphan)
	assert.Equal(t, 600*ms, m.sample())
}

func TestTallyHoldsBackWhatIsLeaving(t *testing.T) {
	m := newModel()
	a := m.fork(m.all[0])
	b := m.fork(a)
	m.burn(b, 10*time.Second, 0)
	m.sample()
	b.leaving = true // state X: already in a's numbers, still listed
	a.kidsUser = 10 * time.Second
	assert.Equal(t, 10*time.Second, m.sample())
	a.kidsUser = 0
	m.exit(b)
	assert.Equal(t, 10*time.Second, m.sample())
}

func TestTallyOnRandomForests(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		ignoring := seed%3 == 0
		m := newModel()
		m.fork(m.all[0])
		last := time.Duration(0)
		for range 400 {
			p := m.all[r.IntN(len(m.all))]
			isInit := p == m.all[0]
			switch n := r.IntN(10); {
			case n < 3 && len(m.all) < 40:
				child := m.fork(p)
				child.threaded = r.IntN(4) == 0
				child.ignores = ignoring && r.IntN(3) == 0
			case n < 7 && !isInit:
				m.burn(p, time.Duration(r.IntN(int(15*ms))), time.Duration(r.IntN(int(5*ms))))
			case n < 8 && !isInit:
				m.exit(p)
			case n >= 8:
				total := m.sample()
				require.GreaterOrEqual(t, total, last, "seed %d: it never falls", seed)
				require.LessOrEqual(t, total, m.truth, "seed %d: nothing is counted twice", seed)
				last = total
				if !ignoring {
					// Rounding: each parent's children, each process with threads.
					bound := time.Duration(2*len(m.all)) * 2 * tick
					require.GreaterOrEqual(t, total, m.truth-bound, "seed %d", seed)
				}
			}
		}
		for len(m.all) > 1 {
			m.exit(m.all[len(m.all)-1])
		}
		total := m.sample()
		require.LessOrEqual(t, total, m.truth, "seed %d", seed)
		if !ignoring {
			require.GreaterOrEqual(t, total, m.truth-2*tick, "seed %d: all of it, when all are reaped", seed)
		}
	}
}
