package limits

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]CPU{
		"20%": 200, "150%": 1500, "0.1%": 1, "33.3%": 333, "100%": OneCPU,
		"1": OneCPU, "1.5": 1500, "0.2": 200, "0.001": 1, "20": 20 * OneCPU,
	} {
		got, err := ParseCPU(text)
		if assert.NoError(t, err, text) {
			assert.Equal(t, want, got, text)
		}
	}
	for text, want := range map[string]string{
		"":        `cpu share "": it is empty; write 20% or 0.2 for a fifth of one CPU`,
		"0":       `cpu share "0": nothing could run; leave it out for no limit; write 20% or 0.2 for a fifth of one CPU`,
		"33.33%":  `cpu share "33.33%": finer than a step of 0.1%; write 20% or 0.2 for a fifth of one CPU`,
		"-5%":     `cpu share "-5%": it is negative; write 20% or 0.2 for a fifth of one CPU`,
		"20m":     `cpu share "20m": unknown unit "m"; write 20% or 0.2 for a fifth of one CPU`,
		"5000000": `cpu share "5000000": too large; write 20% or 0.2 for a fifth of one CPU`,
	} {
		_, err := ParseCPU(text)
		require.EqualError(t, err, want, text)
	}
	for _, text := range []string{"NaN%", "inf", "%", "20 %", "20%%", "1e2", "0x1", "18446744073709551615"} {
		_, err := ParseCPU(text)
		assert.Error(t, err, text)
	}
}

func TestCPUBandwidth(t *testing.T) {
	for share, want := range map[CPU][2]uint64{
		200:        {20_000, 100_000},
		1500:       {150_000, 100_000},
		10:         {1000, 100_000},
		9:          {1000, 111_111},
		1:          {1000, 1_000_000},
		2 * OneCPU: {200_000, 100_000},
	} {
		quota, period := share.bandwidth()
		assert.Equal(t, want, [2]uint64{quota, period}, share.String())
	}
}

func TestCPUOf(t *testing.T) {
	assert.Equal(t, 200*time.Millisecond, CPU(200).Of(time.Second))
	assert.Equal(t, 15*time.Second, CPU(1500).Of(10*time.Second))
	assert.Equal(t, time.Duration(1), CPU(200).Of(5))
	year := 365 * 24 * time.Hour
	assert.Equal(t, 64*year, (64 * OneCPU).Of(year), "no overflow at a year of 64 CPUs")
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1.5s": 1500 * time.Millisecond, "200ms": 200 * time.Millisecond, "2m": 2 * time.Minute,
		"2": 2 * time.Second, "0.5": 500 * time.Millisecond, "1m30s": 90 * time.Second, "0": 0, "1h": time.Hour,
	} {
		got, err := ParseDuration(text)
		if assert.NoError(t, err, text) {
			assert.Equal(t, want, got, text)
		}
	}
	for text, want := range map[string]string{
		"":     `duration "": it is empty; write 1.5s, 200ms, 2m, or plain seconds`,
		"-1s":  `duration "-1s": it is negative; write 1.5s, 200ms, 2m, or plain seconds`,
		"5x":   `duration "5x": it is not a duration, or longer than 292 years; write 1.5s, 200ms, 2m, or plain seconds`,
		"1m30": `duration "1m30": its last number has no unit; write 1.5s, 200ms, 2m, or plain seconds`,
	} {
		_, err := ParseDuration(text)
		require.EqualError(t, err, want, text)
	}
	for _, text := range []string{"NaN", "inf", "+1s", "1e3", "1.2.3", "99999999999999999999", "9223372037", "s", " 1s", ".5"} {
		_, err := ParseDuration(text)
		assert.Error(t, err, text)
	}
}

func TestCheck(t *testing.T) {
	memory := func(asked string) error {
		size, err := ParseSize(asked)
		require.NoError(t, err)
		return CheckMemory(asked, size)
	}
	require.NoError(t, memory("4m"))
	require.EqualError(t, memory("65536"), "65536 bytes is below 4 MiB; did you mean 65536k?")
	require.EqualError(t, memory("100"), "100 bytes is below 4 MiB; did you mean 100m?")
	require.EqualError(t, memory("64k"), "64k is below 4 MiB; did you mean 64m?")
	require.EqualError(t, memory("1.5m"), "1.5m is below 4 MiB; did you mean 1.5g?")
	require.EqualError(t, memory("0"), "0 bytes hold no program; leave the limit out for none")

	cpu := func(asked string, online int) error {
		share, err := ParseCPU(asked)
		require.NoError(t, err)
		return CheckCPU(asked, share, online)
	}
	assert.NoError(t, cpu("2", 2))
	assert.NoError(t, cpu("20%", 1))
	require.EqualError(t, cpu("20", 2), "20 CPUs, but 2 CPUs are online; did you mean 20%?")
	assert.EqualError(t, cpu("150%", 1), "150% of a CPU, but 1 CPU is online; use at most 100%")
}

func FuzzParseCPU(f *testing.F) {
	for _, seed := range []string{"20%", "1.5", "0.001", "33.33%", "-1", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		share, err := ParseCPU(text)
		if err != nil {
			return
		}
		require.NotZero(t, share)
		again, err := ParseCPU(share.String())
		require.NoError(t, err)
		require.Equal(t, share, again)
		quota, period := share.bandwidth()
		require.GreaterOrEqual(t, quota, uint64(1000))
		require.LessOrEqual(t, period, uint64(1_000_000))
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"1.5s", "200ms", "2", "1m30", "-1", "NaN", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, d, time.Duration(0))
		again, err := ParseDuration(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}

// A list of CPUs comes from a user and from the kernel: what one names the other
// has to name as well.
func FuzzCPUSet(f *testing.F) {
	for _, s := range []string{"0", "0-3,8", "3-0", "", ",", "1-", "-1", "8191", "8192", "0-8191", "00", "18446744073709551615", "1-18446744073709551616", "0-1-2", "0\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := parseCPUSet(text)
		if err != nil {
			return
		}
		require.NotZero(t, set, "a list names a CPU")
		var list []string
		for cpu := range len(set) * 64 {
			if set[cpu/64]&(1<<(cpu%64)) != 0 {
				list = append(list, strconv.Itoa(cpu))
			}
		}
		again, err := parseCPUSet(strings.Join(list, ","))
		require.NoError(t, err)
		require.Equal(t, set, again)
	})
}
