package limits

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// open are the hard limits of a caller who has none.
func open() (hard [Resources]unix.Rlimit) {
	for i := range hard {
		hard[i].Max = unlimited
	}
	return hard
}

func maxima(set [Resources]unix.Rlimit) (all [Resources]uint64) {
	for i := range set {
		all[i] = set[i].Max
	}
	return all
}

func TestRlimitsDefaults(t *testing.T) {
	set, notes, err := Rlimits(RlimitSpec{}, open())
	require.NoError(t, err)
	assert.Empty(t, notes)
	const inf = unlimited
	assert.Equal(t, [Resources]uint64{
		inf, inf, inf, 8 << 20, 1, inf, inf, 1024, 64 << 10, inf, inf, 256, 0, 0, 0, inf,
	}, maxima(set))
	for i := range set {
		assert.Equal(t, set[i].Max, set[i].Cur, rlimits[i].name)
		assert.NotEmpty(t, rlimits[i].name, "resource %d has no row", i)
	}
}

func TestRlimitsAsked(t *testing.T) {
	asked := RlimitSpec{
		NoFile: new(uint64(32)), Core: new(Size(0)), FSize: new(10 * MiB), Stack: new(64 * MiB),
		AS: new(GiB), MemLock: new(Size(0)), NProc: NProc(64, true), CPUTime: 1500 * time.Millisecond,
	}
	set, notes, err := Rlimits(asked, open())
	require.NoError(t, err)
	assert.Empty(t, notes)
	const inf = unlimited
	assert.Equal(t, [Resources]uint64{
		3, 10 << 20, inf, 64 << 20, 0, inf, 65, 32, 0, 1 << 30, inf, 256, 0, 0, 0, inf,
	}, maxima(set))
}

func TestRlimitsCPUIsAWholeSecondAfterTheLimit(t *testing.T) {
	for limit, want := range map[time.Duration]uint64{
		1: 2, time.Millisecond: 2, time.Second: 2, time.Second + 1: 3, 10 * time.Second: 11,
	} {
		set, _, err := Rlimits(RlimitSpec{CPUTime: limit}, open())
		require.NoError(t, err)
		assert.Equal(t, want, set[unix.RLIMIT_CPU].Max, limit)
	}
}

func TestRlimitsAgainstHardLimits(t *testing.T) {
	hard := open()
	hard[unix.RLIMIT_NOFILE].Max = 512
	hard[unix.RLIMIT_CORE].Max = 0
	hard[unix.RLIMIT_FSIZE].Max = 1 << 30
	hard[unix.RLIMIT_NPROC].Max = 4000
	hard[unix.RLIMIT_CPU].Max = 5

	set, notes, err := Rlimits(RlimitSpec{CPUTime: time.Minute}, hard)
	require.NoError(t, err)
	assert.Equal(t, []RlimitNote{
		{"RLIMIT_CPU", 61, 5},
		{"RLIMIT_FSIZE", unlimited, 1 << 30},
		{"RLIMIT_CORE", 1, 0},
		{"RLIMIT_NOFILE", 1024, 512},
	}, notes)
	assert.Equal(t, "RLIMIT_FSIZE is 1073741824 instead of unlimited: the caller's hard limit is lower", notes[1].String())
	assert.EqualValues(t, 512, set[unix.RLIMIT_NOFILE].Max)
	assert.EqualValues(t, 4000, set[unix.RLIMIT_NPROC].Max)

	_, _, err = Rlimits(RlimitSpec{NoFile: new(uint64(513))}, hard)
	require.EqualError(t, err, "RLIMIT_NOFILE 513: the caller's hard limit is 512; ask for at most that, or raise it")
	_, notes, err = Rlimits(RlimitSpec{NoFile: new(uint64(512)), Core: new(Size(0))}, hard)
	require.NoError(t, err, "what lies at the hard limit can be had")
	assert.Len(t, notes, 2, "those of RLIMIT_CPU and RLIMIT_FSIZE stay")
}

func TestHardLimitsCanBeSetAgain(t *testing.T) {
	hard, err := HardLimits()
	require.NoError(t, err)
	set, _, err := Rlimits(RlimitSpec{}, hard)
	require.NoError(t, err)
	for i := range set {
		assert.LessOrEqual(t, set[i].Max, hard[i].Max, rlimits[i].name)
	}
}
