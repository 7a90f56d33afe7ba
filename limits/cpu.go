package limits

import (
	"errors"
	"math"
	"strconv"
	"time"
)

// CPU is an amount of CPU bandwidth in thousandths of one CPU: 200 is 20 % of
// one CPU, 1500 is one and a half. The zero value means no limit.
type CPU uint32

// OneCPU is the whole of one CPU.
const OneCPU CPU = 1000

// ParseCPU reads a CPU share: a percentage of one CPU ("20%", "150%") or a
// number of CPUs ("0.2", "1.5"), in steps of a thousandth of one CPU. Zero is
// an error, as are empty, negative and non-numeric texts; the error names the
// text and says what to write. Whether the machine has that many CPUs is for
// [CheckCPU] to say.
func ParseCPU(text string) (CPU, error) {
	number, rest, err := parseDecimal(text)
	if err != nil {
		return 0, cpuError(text, err.Error())
	}
	factor := uint64(OneCPU)
	switch rest {
	case "":
	case "%":
		factor /= 100
	default:
		return 0, cpuError(text, "unknown unit "+quote(rest))
	}
	value, rounded, ok := number.times(factor)
	switch {
	case !ok || value > math.MaxUint32:
		return 0, cpuError(text, "too large")
	case rounded:
		return 0, cpuError(text, "finer than a step of 0.1%")
	case value == 0:
		return 0, cpuError(text, "nothing could run; leave it out for no limit")
	}
	return CPU(value), nil
}

func cpuError(text, why string) error {
	return errors.New("cpu share " + quote(text) + ": " + why + "; write 20% or 0.2 for a fifth of one CPU")
}

// String renders the share in percent of one CPU, in the form [ParseCPU]
// reads: "20%", "12.5%".
func (c CPU) String() string {
	text := strconv.FormatUint(uint64(c/10), 10)
	if c%10 != 0 {
		text += "." + strconv.FormatUint(uint64(c%10), 10)
	}
	return text + "%"
}

// Of returns the CPU time that the share allows in a span of wall time.
func (c CPU) Of(span time.Duration) time.Duration {
	whole, part := span/time.Duration(OneCPU), span%time.Duration(OneCPU)
	return whole*time.Duration(c) + part*time.Duration(c)/time.Duration(OneCPU)
}

// bandwidth returns the two numbers of cpu.max in microseconds. The kernel
// refuses a quota below 1 ms and a period above 1 s; both meet at a share of
// one thousandth, the smallest a CPU can hold.
func (c CPU) bandwidth() (quota, period uint64) {
	const usual, least = 100_000, 1000
	if quota = uint64(c) * usual / uint64(OneCPU); quota >= least {
		return quota, usual
	}
	return least, least * uint64(OneCPU) / uint64(c)
}

// ParseDuration reads a duration: "1.5s", "200ms", "2m", "1m30s", or a plain
// number of seconds ("2", "0.5"). Empty, negative and non-numeric texts are
// errors that name the text and say what to write.
func ParseDuration(text string) (time.Duration, error) {
	switch {
	case text == "":
		return 0, durationError(text, "it is empty")
	case text[0] == '-':
		return 0, durationError(text, "it is negative")
	case text[0] < '0' || text[0] > '9':
		return 0, durationError(text, "it does not start with a number")
	}
	full := text
	if last := text[len(text)-1]; last >= '0' && last <= '9' {
		// "1m30" would otherwise quietly become 1m30s.
		if _, rest, err := parseDecimal(text); err != nil || rest != "" {
			return 0, durationError(text, "its last number has no unit")
		}
		full += "s"
	}
	d, err := time.ParseDuration(full)
	if err != nil {
		return 0, durationError(text, "it is not a duration, or longer than 292 years")
	}
	return d, nil
}

func durationError(text, why string) error {
	return errors.New("duration " + quote(text) + ": " + why + "; write 1.5s, 200ms, 2m, or plain seconds")
}
