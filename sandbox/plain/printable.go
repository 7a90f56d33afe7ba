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
// is cut. Backslashes stay, so that it may be applied twice.
func Printable(s string) string { return Within(s, 2048) }

// Within is Printable with another bound, in bytes.
func Within(s string, longest int) string {
	plain := len(s) <= longest
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	b := make([]byte, 0, min(len(s)+16, longest))
	for rest := s; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		piece := rest[:n]
		switch {
		case r == utf8.RuneError && n == 1:
			const hex = "0123456789abcdef"
			piece = string([]byte{'\\', 'x', hex[rest[0]>>4], hex[rest[0]&15]})
		case !strconv.IsPrint(r):
			piece = strconv.QuoteRune(r)
			piece = piece[1 : len(piece)-1]
		}
		if len(b)+len(piece) > longest-len("…") {
			return string(b) + "…"
		}
		b = append(b, piece...)
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
