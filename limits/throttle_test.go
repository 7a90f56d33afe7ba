package limits

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plant is what a throttle steers: a machine with ncpu CPUs on which n
// spinners run unless they are stopped, stops land late, and measured time
// moves in steps.
type plant struct {
	ncpu, spinners int
	late           func(stop int) time.Duration // from the order to its effect
	resist         func(now time.Duration) bool // the job runs although it was stopped
	grain          time.Duration                // of measured time
	confirm        bool                         // the stops are confirmed when they have landed
	tail           time.Duration                // CPUs that have not noticed yet, after the confirmation
	idle           func(now time.Duration) bool
	lateMeasure    time.Duration // the measurer gets its CPU late when the job runs
}

type outcome struct {
	used     time.Duration
	resisted time.Duration // when it was found out, 0 if never
	longest  time.Duration // longest time between two steps
	steps    int
}

func (p plant) simulate(throttle *Throttle, length time.Duration) outcome {
	const step = 100 * time.Microsecond
	var o outcome
	want, effective := true, true
	var landsAt, next, last time.Duration
	stops := 0
	for now := time.Duration(0); now < length; now += step {
		if !want && effective && p.confirm && now >= landsAt {
			throttle.Landed(now)
		}
		if !want && effective && now >= landsAt+p.tail {
			effective = false
		}
		running := effective || p.resist != nil && p.resist(now)
		if running && (p.idle == nil || !p.idle(now)) {
			o.used += step * time.Duration(min(p.spinners, p.ncpu))
		}
		if now < next {
			continue
		}
		o.longest = max(o.longest, now-last)
		o.steps, last = o.steps+1, now
		measured := o.used
		if p.grain > 0 {
			measured = measured / p.grain * p.grain
		}
		run, wait := throttle.Step(now, measured, p.spinners)
		if running {
			wait += p.lateMeasure
		}
		if want && !run {
			landsAt = now
			if p.late != nil {
				landsAt += p.late(stops)
			}
			stops++
		}
		if run {
			effective = true
		}
		want, next = run, now+wait
		if throttle.Resists() && o.resisted == 0 {
			o.resisted = now
		}
	}
	return o
}

func TestThrottleHoldsTheShare(t *testing.T) {
	for _, share := range []CPU{10, 50, 200, 500, 1500} {
		for _, spinners := range []int{1, 4, 16} {
			for name, p := range map[string]plant{
				"exact":     {},
				"late":      {late: func(int) time.Duration { return 66 * ms }},
				"sometimes": {late: func(n int) time.Duration { return time.Duration(n%5) * 13 * ms }, confirm: true},
				"in ticks":  {grain: 10 * ms, late: func(int) time.Duration { return 4 * ms }},
				"starved":   {lateMeasure: 30 * ms, late: func(int) time.Duration { return 30 * ms }},
			} {
				p.ncpu, p.spinners = 2, spinners
				o := p.simulate(NewThrottle(share, p.ncpu), 10*time.Second)
				want := min(float64(share)/1000, float64(min(spinners, 2)))
				got := float64(o.used) / float64(10*time.Second)
				assert.InDelta(t, want, got, 0.03, "%v %d spinners, %s", share, spinners, name)
				assert.Zero(t, o.resisted, "%v %d spinners, %s: it obeys", share, spinners, name)
			}
		}
	}
}

func TestThrottleGivesAConfirmedStopATick(t *testing.T) {
	p := plant{ncpu: 16, spinners: 16, confirm: true, tail: 15 * ms}
	p.late = func(int) time.Duration { return throttlePeriod - 200*time.Microsecond } // confirmed right before a look
	o := p.simulate(NewThrottle(200, p.ncpu), 10*time.Second)
	assert.Zero(t, o.resisted)
	assert.InDelta(t, 0.2, float64(o.used)/float64(10*time.Second), 0.03)
}

func TestThrottleFindsWhoResists(t *testing.T) {
	always := func(time.Duration) bool { return true }
	for name, p := range map[string]plant{
		"a timer and SIGCONT":             {ncpu: 2, spinners: 1, resist: always},
		"a loop of kill(-1, SIGCONT)":     {ncpu: 2, spinners: 2, resist: always},
		"half of the time":                {ncpu: 2, spinners: 2, resist: func(now time.Duration) bool { return now%(2*ms) < ms }},
		"once it has behaved for a while": {ncpu: 2, spinners: 2, resist: func(now time.Duration) bool { return now > 3*time.Second }},
		"256 of them, stops late":         {ncpu: 2, spinners: 256, resist: always, late: func(int) time.Duration { return 90 * ms }},
		"measured in ticks":               {ncpu: 2, spinners: 1, resist: always, grain: 10 * ms},
	} {
		o := p.simulate(NewThrottle(200, p.ncpu), 5*time.Second)
		require.NotZero(t, o.resisted, name)
		begun := time.Duration(0)
		if name == "once it has behaved for a while" {
			begun = 3 * time.Second
		}
		assert.LessOrEqual(t, o.resisted-begun, 500*ms, name)

		p.confirm = true
		confirmed := p.simulate(NewThrottle(200, p.ncpu), 5*time.Second)
		require.NotZero(t, confirmed.resisted, name)
		assert.LessOrEqual(t, confirmed.resisted, o.resisted, "%s: confirmed stops find it no later", name)
	}
}

// What resists by less than its share stays within it, and is no offence.
func TestThrottleLeavesAloneWhatKeepsTheShare(t *testing.T) {
	p := plant{ncpu: 2, spinners: 1, resist: func(now time.Duration) bool { return now%(100*ms) < 15*ms }}
	o := p.simulate(NewThrottle(200, 2), 10*time.Second)
	assert.InDelta(t, 0.2, float64(o.used)/float64(10*time.Second), 0.03)
	assert.Zero(t, o.resisted)
}

func TestThrottleDoesNotSaveUp(t *testing.T) {
	p := plant{ncpu: 2, spinners: 2, idle: func(now time.Duration) bool { return now < 10*time.Second }}
	o := p.simulate(NewThrottle(200, 2), 11*time.Second)
	assert.LessOrEqual(t, o.used, CPU(200).Of(time.Second+throttleBurst)+10*ms, "ten idle seconds buy 100 ms of share")
	assert.GreaterOrEqual(t, o.used, CPU(200).Of(time.Second)-10*ms)
}

func TestThrottleStepsAreFewAndRegular(t *testing.T) {
	p := plant{ncpu: 2, spinners: 4}
	o := p.simulate(NewThrottle(200, 2), 10*time.Second)
	assert.LessOrEqual(t, o.longest, throttlePeriod+ms, "a resisting job is looked at")
	assert.Less(t, o.steps, 1600, "and the loop is cheap: %d steps in 10 s", o.steps)

	alone := plant{ncpu: 2, spinners: 1, idle: func(time.Duration) bool { return true }}
	o = alone.simulate(NewThrottle(200, 2), 10*time.Second)
	assert.LessOrEqual(t, o.steps, 510, "an idle job costs one step a period")
}

func TestThrottleStartsRunning(t *testing.T) {
	throttle := NewThrottle(1, 64)
	run, next := throttle.Step(time.Hour, time.Minute, 0)
	assert.True(t, run, "what was used before is not held against it")
	assert.Equal(t, minStep, next)
}

func TestNextSample(t *testing.T) {
	for _, row := range []struct {
		used, limit Size
		want        time.Duration
	}{
		{0, 100 * MiB, 20 * ms},
		{94 * MiB, 100 * MiB, 2097 * time.Microsecond},
		{99 * MiB, 100 * MiB, ms},
		{100 * MiB, 100 * MiB, ms},
		{200 * MiB, 100 * MiB, ms},
		{0, 0, ms},
		{0, 1 << 62, 20 * ms},
	} {
		assert.Equal(t, row.want, NextSample(row.used, row.limit), "%v of %v", row.used, row.limit)
	}
}
