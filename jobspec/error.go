package jobspec

import "strconv"

// A FieldError says what is wrong with a job file, and where.
type FieldError struct {
	File         string // as it was named; "" for input without a name
	Line, Column int    // from 1; 0 if the place is not known
	Field        string // with its parents, as in jobs.compile.limits.mem
	Err          error
}

// Error is file:line:column: field: what is wrong, without the parts that are
// not known.
func (e *FieldError) Error() string {
	text := ""
	if e.File != "" {
		text = e.File + ":"
	}
	if e.Line > 0 {
		text += strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column) + ":"
	}
	if text != "" {
		text += " "
	}
	if e.Field != "" {
		text += e.Field + ": "
	}
	return text + e.Err.Error()
}

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }
