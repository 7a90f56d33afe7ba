package check

import (
	"bufio"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strconv"

	"github.com/jailrun/jailrun/jobspec"
)

// longestWord bounds what is held of one word or line.
const longestWord = 1 << 20

var errLong = fmt.Errorf("a word or line of more than %d bytes; compare it with exact or tokens", longestWord)

// A splitter gives out the units of a normal stream, one by one.
type splitter struct {
	r   *bufio.Reader
	buf []byte
}

func newSplitter(r io.Reader, lines, fold bool) *splitter {
	return &splitter{r: bufio.NewReaderSize(newNormal(r, lines, fold), 32<<10)}
}

// next returns the next unit, valid until the next call; io.EOF at the end.
func (s *splitter) next() ([]byte, error) {
	s.buf = s.buf[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		s.buf = append(s.buf, part...)
		switch {
		case len(s.buf) > longestWord:
			return nil, errLong
		case err == nil:
			return s.buf[:len(s.buf)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(s.buf) > 0:
			return s.buf, nil
		default:
			return nil, err
		}
	}
}

// floats compares word by word. Words that are numbers on both sides may
// differ by the errors that are allowed, in one way or the other; all others
// must be the same.
func floats(c *jobspec.Check, out, answer io.Reader) (Finding, error) {
	abs, rel := 1e-6, 1e-6
	if c.Abs != nil || c.Rel != nil {
		abs, rel = deref(c.Abs), deref(c.Rel)
	}
	a, b := newSplitter(out, false, c.IgnoreCase), newSplitter(answer, false, c.IgnoreCase)
	for n := 1; ; n++ {
		x, errA := a.next()
		y, errB := b.next()
		switch endA, endB := errors.Is(errA, io.EOF), errors.Is(errB, io.EOF); {
		case errors.Is(errA, errLong):
			return wrong("word %d: %v", n, errLong)
		case errA != nil && !endA:
			return Finding{}, errA
		case errB != nil && !endB:
			return Finding{}, errB
		case endA && endB:
			return ok()
		case endA:
			return wrong("word %d: the output ends, expected %s", n, short(y))
		case endB:
			return wrong("word %d: expected the end, got %s", n, short(x))
		}
		if why := differ(string(x), string(y), abs, rel); why != "" {
			return wrong("word %d: %s", n, why)
		}
	}
}

func deref(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// differ says how far two words are apart, "" if they are close enough.
func differ(x, y string, abs, rel float64) string {
	if x == y {
		return ""
	}
	want, err := strconv.ParseFloat(y, 64)
	got, err2 := strconv.ParseFloat(x, 64)
	if err != nil || err2 != nil || !number(x) {
		return "got " + short([]byte(x)) + ", expected " + short([]byte(y))
	}
	off := math.Abs(got - want)
	if off <= abs || off <= rel*math.Abs(want) {
		return ""
	}
	return fmt.Sprintf("got %s, expected %s: off by %.3g, allowed are %.3g absolute or %.3g relative",
		short([]byte(x)), short([]byte(y)), off, abs, rel)
}

// number refuses the forms that ParseFloat takes and no answer is written in:
// nan, inf, 0x1p-2, 1_000.
func number(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E') {
			return false
		}
	}
	return true
}

func short(s []byte) string {
	const longest = 64
	if len(s) > longest {
		return fmt.Sprintf("%q…", s[:longest])
	}
	return fmt.Sprintf("%q", s)
}

// mostLines bounds the lines whose order does not matter: of each one a
// number is held.
const mostLines = 2_000_000

// unordered compares the lines as a bag. A line is known by 128 bits with a
// seed of this process's, which a program cannot aim at.
func unordered(c *jobspec.Check, out, answer io.Reader) (Finding, error) {
	one, two := maphash.MakeSeed(), maphash.MakeSeed()
	type key [2]uint64
	bag := map[key]int{}
	read := func(r io.Reader, each func(k key, n int, line []byte) (stop bool)) error {
		s := newSplitter(r, true, c.IgnoreCase)
		for n := 1; ; n++ {
			line, err := s.next()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			case n > mostLines:
				return fmt.Errorf("more than %d lines; compare them in order", mostLines)
			}
			if each(key{maphash.Bytes(one, line), maphash.Bytes(two, line)}, n, line) {
				return nil
			}
		}
	}
	lines := 0
	err := read(answer, func(k key, _ int, _ []byte) bool { bag[k]++; lines++; return false })
	if err != nil {
		return Finding{}, err
	}
	why := ""
	err = read(out, func(k key, n int, line []byte) bool {
		if bag[k] == 0 {
			why = fmt.Sprintf("line %d: %s is not expected, or not so often", n, short(line))
			return true
		}
		bag[k]--
		lines--
		return false
	})
	switch {
	case errors.Is(err, errLong):
		return wrong("%v", errLong)
	case err != nil:
		return Finding{}, err
	case why != "":
		return wrong("%s", why)
	case lines > 0:
		return wrong("%d of the expected lines are missing", lines)
	}
	return ok()
}
