package check

import (
	"bufio"
	"errors"
	"io"
)

// A normal is a stream in which only that is left which a checker looks at.
// With lines it drops blanks at the ends of lines and empty lines at the end
// of the text; without, it makes every run of white space one newline and
// drops it at both ends.
type normal struct {
	r      *bufio.Reader
	lines  bool
	fold   bool // ASCII letters to lower case
	blanks []byte
	ends   int  // newlines that are due before the next byte
	begun  bool // something has been given out
	queue  []byte
	err    error
}

func newNormal(r io.Reader, lines, fold bool) *normal {
	return &normal{r: bufio.NewReaderSize(r, 32<<10), lines: lines, fold: fold}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// Read gives out the normal form.
func (n *normal) Read(p []byte) (int, error) {
	for len(n.queue) == 0 && n.err == nil {
		n.fill()
	}
	if len(n.queue) == 0 {
		return 0, n.err
	}
	k := copy(p, n.queue)
	n.queue = n.queue[k:]
	return k, nil
}

// fill puts the next bytes into the queue.
func (n *normal) fill() {
	const most = 8 << 10
	n.queue = n.queue[:0]
	for len(n.queue) < most {
		c, err := n.r.ReadByte()
		if err != nil {
			n.err = err
			if !errors.Is(err, io.EOF) {
				n.queue = n.queue[:0]
			}
			return
		}
		if n.lines {
			n.line(c)
		} else {
			n.word(c)
		}
	}
}

func (n *normal) put(c byte) {
	if n.fold && c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	n.queue = append(n.queue, c)
	n.begun = true
}

func (n *normal) word(c byte) {
	switch {
	case isSpace(c):
		n.ends = 1
		return
	case n.ends > 0 && n.begun:
		n.queue = append(n.queue, '\n')
	}
	n.ends = 0
	n.put(c)
}

// line holds newlines and blanks back until something follows them. What a
// line of nothing but blanks can hold is bounded: more of them are as good as
// a difference.
func (n *normal) line(c byte) {
	const most = 64 << 10
	switch {
	case c == '\n':
		n.blanks = n.blanks[:0]
		n.ends++
	case isSpace(c) && len(n.blanks) < most:
		n.blanks = append(n.blanks, c)
	default:
		for ; n.ends > 0; n.ends-- {
			n.queue = append(n.queue, '\n')
		}
		n.queue = append(n.queue, n.blanks...)
		n.blanks = n.blanks[:0]
		n.put(c)
	}
}
