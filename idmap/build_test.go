package idmap

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSelf(t *testing.T) {
	assert.Equal(t, "0 1000 1\n", string(Self(0, 1000).Kernel()))
	assert.Equal(t, "1000 1000 1\n", string(Self(1000, 1000).Kernel()))
}

func TestAuto(t *testing.T) {
	manyRanges := make([]SubRange, MaxLines+10)
	for i := range manyRanges {
		manyRanges[i] = SubRange{uint32(2000 + 2*i), 1}
	}
	for _, c := range []struct {
		name   string
		caller uint32
		subs   []SubRange
		want   string // "" for ErrNoSubIDs
	}{
		{"usual", 1000, []SubRange{{100000, 65536}}, "0:1000:1,1:100000:65536"},
		{"two ranges", 1000, []SubRange{{200000, 10}, {100000, 5}}, "0:1000:1,1:200000:10,11:100000:5"},
		{"the same twice, by name and by number", 1000, []SubRange{{100000, 65536}, {100000, 65536}}, "0:1000:1,1:100000:65536"},
		{"overlap keeps the first", 1000, []SubRange{{100000, 10}, {100005, 10}, {300000, 2}}, "0:1000:1,1:100000:10,11:300000:2"},
		{"a range that holds the caller", 1000, []SubRange{{500, 1000}, {100000, 2}}, "0:1000:1,1:100000:2"},
		{"count 0", 1000, []SubRange{{100000, 0}, {100000, 2}}, "0:1000:1,1:100000:2"},
		{"beyond the highest id", 1000, []SubRange{{MaxID, 2}, {100000, 2}}, "0:1000:1,1:100000:2"},
		{"all ids of the world", 1000, []SubRange{{0, 1<<32 - 1}}, ""},
		{"none", 1000, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Auto(c.caller, c.subs)
			if c.want == "" {
				require.ErrorIs(t, err, ErrNoSubIDs)
				assert.Nil(t, m)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, m.String())
			checkMap(t, m)
		})
	}
	t.Run("more ranges than lines", func(t *testing.T) {
		m, err := Auto(1000, manyRanges)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(m), MaxLines)
		assert.Greater(t, len(m), MaxLines-50)
		require.NoError(t, m.Validate())
	})
}

func TestBlock(t *testing.T) {
	const base = 0x70000000
	for _, c := range []struct {
		job  uint32
		want string
	}{
		{0, "0:1879048192:15"},
		{14, "0:1879048192:15"},
		{15, "0:1879048192:15,15:1879048207:1"},
		{1000, "0:1879048192:15,1000:1879048207:1"},
		{MaxID, "0:1879048192:15,4294967294:1879048207:1"},
	} {
		m := Block(base, c.job)
		assert.Equal(t, c.want, m.String())
		checkMap(t, m)
		out, ok := m.ToOutside(c.job)
		assert.True(t, ok)
		assert.Less(t, out-base, uint32(BlockSize), "the job's id lies in the block")
		in, ok := m.ToInside(base)
		assert.True(t, ok)
		assert.Zero(t, in)
	}
}
