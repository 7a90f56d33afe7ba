package jobspec

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jailrun/jailrun/sandbox/plain"
)

// A FieldError says what is wrong with a job file, and where.
type FieldError struct {
	File         string // as it was named; "" for input without a name
	Line, Column int    // from 1; 0 if the place is not known
	Field        string // with its parents, as in jobs.compile.mem
	Text         string // the line, as it stands in the file; "" if not known
	Err          error
}

// Error is file:line:column: field: what is wrong, without the parts that are
// not known. It holds no newline.
func (e *FieldError) Error() string {
	text := ""
	if e.File != "" {
		text = plain.Printable(e.File) + ":"
	}
	if e.Line > 0 {
		text += strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column) + ":"
	}
	if text != "" {
		text += " "
	}
	if e.Field != "" {
		text += plain.Printable(e.Field) + ": "
	}
	return text + plain.Printable(e.Err.Error())
}

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

// Excerpt returns the line in question and, under it, a caret at the column;
// "" if the line is not known. It is fit for a terminal whatever the file
// holds.
func (e *FieldError) Excerpt() string {
	if e.Text == "" || e.Line == 0 {
		return ""
	}
	// Rendering may lengthen what stands before the column: the caret counts
	// what is printed.
	const before, after = 60, 40
	runes := []rune(e.Text)
	at := min(max(e.Column-1, 0), len(runes))
	head, tail := runes[max(0, at-before):at], runes[at:min(len(runes), at+after)]
	gutter := fmt.Sprintf("%5d | ", e.Line)
	left := plain.Printable(strings.ReplaceAll(string(head), "\t", " "))
	right := plain.Printable(strings.ReplaceAll(string(tail), "\t", " "))
	indent := strings.Repeat(" ", utf8.RuneCountInString(left))
	return gutter + left + right + "\n      | " + indent + "^\n"
}

// Errors are all that is wrong with a job file, in the order of the file.
type Errors []*FieldError

// Error names the first and counts the others.
func (e Errors) Error() string {
	switch len(e) {
	case 0:
		return "no errors"
	case 1:
		return e[0].Error()
	}
	return e[0].Error() + " (and " + strconv.Itoa(len(e)-1) + " more)"
}

// Unwrap returns each of them.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// mostErrors is how many errors are told; a file with more is not a job file.
const mostErrors = 20

// quote renders a value of a file for a message.
func quote(s string) string { return plain.Quote(s, 80) }
