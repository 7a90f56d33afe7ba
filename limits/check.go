package limits

import (
	"errors"
	"strconv"
)

// MinMemory is the least memory limit that is taken without asking back:
// below it no dynamically linked program starts.
const MinMemory = 4 * MiB

// CheckMemory refuses a memory limit below [MinMemory] with a question about
// what was meant. asked is the text the user wrote, size what [ParseSize] made
// of it.
func CheckMemory(asked string, size Size) error {
	if size >= MinMemory {
		return nil
	}
	if size == 0 {
		return errors.New("0 bytes hold no program; leave the limit out for none")
	}
	_, unit, err := parseDecimal(asked)
	if err != nil {
		return sizeError(asked, err.Error())
	}
	number := asked[:len(asked)-len(unit)]
	if unit == "" {
		asked += " bytes"
	}
	// The usual slip is kilobytes written as bytes, or megabytes as kilobytes:
	// the same number with the first unit that makes it big enough.
	for _, larger := range []string{"k", "m", "g"} {
		if meant, err := ParseSize(number + larger); err == nil && meant >= MinMemory {
			return errors.New(asked + " is below 4 MiB; did you mean " + number + larger + "?")
		}
	}
	return errors.New(asked + " is below 4 MiB, the least that a program starts in")
}

// CheckCPU refuses a share above what the online CPUs can give, with a
// question about what was meant. asked is the text the user wrote, share what
// [ParseCPU] made of it, online the number of CPUs the job may use.
func CheckCPU(asked string, share CPU, online int) error {
	if online < 1 || uint64(share) <= uint64(online)*uint64(OneCPU) {
		return nil
	}
	count := strconv.Itoa(online) + " CPUs are online"
	if online == 1 {
		count = "1 CPU is online"
	}
	if asked != "" && asked[len(asked)-1] == '%' {
		return errors.New(asked + " of a CPU, but " + count + "; use at most " + strconv.Itoa(online*100) + "%")
	}
	return errors.New(asked + " CPUs, but " + count + "; did you mean " + asked + "%?")
}
