// Package check compares what a program wrote with what was expected. It reads
// both as streams: an output may be as large as its limit, and a checker holds
// no more than a few buffers of it.
//
// A program as checker (Kattis' output validators, testlib) is run by package
// batch, in a sandbox of its own; what its exit status means stands here.
package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/jailrun/jailrun/jobspec"
)

// A Finding is what a checker found.
type Finding struct {
	OK      bool
	Score   *float64 // part of the points, 0 to 1; nil if the checker gives none
	Message string   // why, for people; may quote the output
}

func ok() (Finding, error) { return Finding{OK: true}, nil }

func wrong(format string, a ...any) (Finding, error) {
	return Finding{Message: fmt.Sprintf(format, a...)}, nil
}

// Compare judges out by a checker that is no program. answer is nil for
// regex. The error is of the reader that failed, or says that the checker
// cannot judge this.
func Compare(c *jobspec.Check, out, answer io.Reader) (Finding, error) {
	switch c.Checker {
	case "exact":
		return same(out, answer, "byte")
	case "lines":
		return same(newNormal(out, true, c.IgnoreCase), newNormal(answer, true, c.IgnoreCase), "line")
	case "tokens":
		return same(newNormal(out, false, c.IgnoreCase), newNormal(answer, false, c.IgnoreCase), "word")
	case "floats":
		return floats(c, out, answer)
	case "unordered":
		return unordered(c, out, answer)
	case "regex":
		return match(c.Pattern, out)
	}
	return Finding{}, fmt.Errorf("no checker is called %q", c.Checker)
}

// same compares two streams byte by byte. unit is what a newline ends in them,
// for the message.
func same(out, answer io.Reader, unit string) (Finding, error) {
	a, b := bufio.NewReaderSize(out, 32<<10), bufio.NewReaderSize(answer, 32<<10)
	newlines, offset := 0, 0
	var line []byte // the start of the current one
	for {
		x, errA := a.ReadByte()
		y, errB := b.ReadByte()
		switch endA, endB := errors.Is(errA, io.EOF), errors.Is(errB, io.EOF); {
		case errA != nil && !endA:
			return Finding{}, errA
		case errB != nil && !endB:
			return Finding{}, errB
		case endA && endB:
			return ok()
		case endA:
			return wrong("%s: the output ends, expected %s", place(unit, newlines, offset), excerpt(line, y, b))
		case endB:
			return wrong("%s: expected the end, got %s", place(unit, newlines, offset), excerpt(line, x, a))
		case x != y:
			return wrong("%s: got %s, expected %s", place(unit, newlines, offset), excerpt(line, x, a), excerpt(line, y, b))
		}
		offset++
		if x == '\n' {
			newlines++
			line = line[:0]
		} else if len(line) < 64 {
			line = append(line, x)
		}
	}
}

func place(unit string, newlines, offset int) string {
	if unit == "byte" {
		return fmt.Sprintf("line %d, byte %d", newlines+1, offset+1)
	}
	return fmt.Sprintf("%s %d", unit, newlines+1)
}

// excerpt quotes a unit from its start, as far as it is short.
func excerpt(line []byte, next byte, rest *bufio.Reader) string {
	const longest = 64
	text := append(bytes.Clone(line), next)
	tail, _ := rest.Peek(longest) // as much as there is
	text = append(text, tail...)
	if i := bytes.IndexByte(text, '\n'); i == 0 {
		text = text[:1]
	} else if i > 0 {
		text = text[:i]
	}
	if len(text) > longest {
		return fmt.Sprintf("%q…", text[:longest])
	}
	return fmt.Sprintf("%q", text)
}

// match tells whether a pattern matches the whole output, a last newline
// aside.
func match(pattern string, out io.Reader) (Finding, error) {
	re, err := regexp.Compile(`\A(?:` + pattern + `)(?:\r?\n)?\z`)
	if err != nil {
		return Finding{}, err
	}
	r := &failing{r: bufio.NewReaderSize(out, 32<<10)}
	found := re.MatchReader(r)
	switch {
	case r.err != nil:
		return Finding{}, r.err
	case !found:
		return wrong("the output does not match %s", pattern)
	}
	return ok()
}

// failing remembers the error that made a match end, which regexp takes for
// the end of the text.
type failing struct {
	r   *bufio.Reader
	err error
}

func (f *failing) ReadRune() (rune, int, error) {
	c, n, err := f.r.ReadRune()
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return c, n, err
}
