// Package plain puts words for people: what others wrote, made fit to be shown,
// and what a mistyped word was meant to be. It is part of jailrun itself, so it
// holds no state and imports next to nothing.
package plain

import (
	"strconv"
	"unicode/utf8"
)

// Printable makes a text fit for one line of a terminal or a log, whatever a
// job or a name put into it: escape sequences, other controls, marks of
// direction and bytes that are no UTF-8 are escaped, and what is absurdly long
// is cut.
func Printable(s string) string {
	const longest = 2048
	b := make([]byte, 0, min(len(s), longest)+8)
	for rest := s; rest != ""; {
		if len(b) >= longest {
			return string(b) + "…"
		}
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'x', hex[rest[0]>>4], hex[rest[0]&15])
		case strconv.IsPrint(r):
			b = append(b, rest[:n]...)
		default:
			q := strconv.AppendQuoteRune(nil, r)
			b = append(b, q[1:len(q)-1]...)
		}
		rest = rest[n:]
	}
	return string(b)
}

// Quote renders a word of others for a message; one of more than longest bytes
// is cut.
func Quote(s string, longest int) string {
	if len(s) > longest {
		return strconv.Quote(s[:longest]) + "…"
	}
	return strconv.Quote(s)
}
