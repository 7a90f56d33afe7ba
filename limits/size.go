package limits

import (
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Size is an amount of memory or storage in bytes.
type Size uint64

// Binary multiples, as docker and the kernel count.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
	PiB Size = 1 << 50
)

// sizeUnits holds the letters in the order of their powers of 1024.
const sizeUnits = "kmgtp"

// ParseSize reads a size as docker writes it: plain bytes ("65536") or a
// number with a binary unit, in either case ("100m", "1.5GiB", "64 kb"). A
// fraction needs a unit and is rounded down to whole bytes. Empty, negative
// and non-numeric texts, unknown units and sizes of 2^63 or more are errors
// that name the text and say what to write.
func ParseSize(text string) (Size, error) {
	number, rest, err := parseDecimal(text)
	if err != nil {
		return 0, sizeError(text, err.Error())
	}
	unit := strings.TrimPrefix(rest, " ") // docker takes one space
	shift, ok := sizeShift(unit)
	if !ok || unit == "" && rest != "" {
		return 0, sizeError(text, "unknown unit "+quote(rest))
	}
	if shift == 0 && number.digits > 0 {
		return 0, sizeError(text, "a fraction needs a unit")
	}
	value, rounded, ok := number.times(1 << shift)
	if !ok || value > math.MaxInt64 {
		return 0, errors.New("size " + quote(text) + ": more than 2^63-1 bytes; use at most 8191p")
	}
	if value == 0 && rounded {
		return 0, sizeError(text, "less than one byte")
	}
	return Size(value), nil
}

// sizeShift returns the power of two a unit stands for.
func sizeShift(unit string) (shift uint, ok bool) {
	u := strings.ToLower(unit)
	if u == "" || u == "b" {
		return 0, true
	}
	i := strings.IndexByte(sizeUnits, u[0])
	if i < 0 {
		return 0, false
	}
	switch u[1:] {
	case "", "b", "ib":
		return uint(i+1) * 10, true
	}
	return 0, false
}

func sizeError(text, why string) error {
	return errors.New("size " + quote(text) + ": " + why + "; write plain bytes or a number with k, m, g or t, like 100m")
}

// String renders the exact size in the form [ParseSize] reads: "100m", "64k",
// or plain bytes where no unit divides it.
func (s Size) String() string {
	unit := -1
	for s != 0 && s%1024 == 0 && unit < len(sizeUnits)-1 {
		s /= 1024
		unit++
	}
	text := strconv.FormatUint(uint64(s), 10)
	if unit < 0 {
		return text
	}
	return text + sizeUnits[unit:unit+1]
}

// Human renders the size for people, with one decimal, rounded down: "97.3
// MiB", "512 bytes".
func (s Size) Human() string {
	if s < KiB {
		return strconv.FormatUint(uint64(s), 10) + " bytes"
	}
	shift, unit := uint(10), 0
	for s>>shift >= 1024 && unit < len(sizeUnits)-1 {
		shift += 10
		unit++
	}
	tenth := (uint64(s) >> (shift - 10) & 1023) * 10 >> 10
	text := strconv.FormatUint(uint64(s>>shift), 10)
	if tenth > 0 {
		text += "." + strconv.FormatUint(tenth, 10)
	}
	return text + " " + strings.ToUpper(sizeUnits[unit:unit+1]) + "iB"
}

// decimal is a non-negative decimal number as it was typed: whole.fraction,
// the fraction with its count of digits. No float: 0.1 has to stay 0.1.
type decimal struct {
	whole, fraction uint64
	digits          int
}

// maxFraction bounds the digits after the point so that 10^digits and the
// fraction fit into 64 bits.
const maxFraction = 18

// parseDecimal reads the number at the start of text and returns what follows.
func parseDecimal(text string) (d decimal, rest string, err error) {
	switch {
	case text == "":
		return d, "", errors.New("it is empty")
	case text[0] == '-':
		return d, "", errors.New("it is negative")
	}
	n := leadingDigits(text)
	if n == 0 {
		return d, "", errors.New("it does not start with a number")
	}
	if d.whole, err = strconv.ParseUint(text[:n], 10, 64); err != nil {
		return d, "", errors.New("the number is too large")
	}
	rest = text[n:]
	if rest == "" || rest[0] != '.' {
		return d, rest, nil
	}
	digits := rest[1 : 1+leadingDigits(rest[1:])]
	rest = rest[1+len(digits):]
	if digits == "" {
		return d, "", errors.New("no digit follows the point")
	}
	digits = strings.TrimRight(digits, "0")
	if len(digits) > maxFraction {
		return d, "", errors.New("too many digits after the point")
	}
	d.digits = len(digits)
	if d.digits > 0 {
		d.fraction, err = strconv.ParseUint(digits, 10, 64)
	}
	return d, rest, err
}

func leadingDigits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// times returns the number multiplied by factor, rounded down; rounded tells
// whether anything was lost, ok whether it fits into 64 bits.
func (d decimal) times(factor uint64) (value uint64, rounded, ok bool) {
	hi, whole := bits.Mul64(d.whole, factor)
	if hi != 0 {
		return 0, false, false
	}
	power := uint64(1)
	for range d.digits {
		power *= 10
	}
	// fraction < power, so the quotient is below factor and cannot overflow.
	hi, lo := bits.Mul64(d.fraction, factor)
	part, remainder := bits.Div64(hi, lo, power)
	value, carry := bits.Add64(whole, part, 0)
	return value, remainder != 0, carry == 0
}

// quote renders a value of the user's for a message; a long one is cut.
func quote(s string) string {
	const longest = 64
	if len(s) > longest {
		return strconv.Quote(s[:longest]) + "..."
	}
	return strconv.Quote(s)
}
