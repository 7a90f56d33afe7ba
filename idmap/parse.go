package idmap

import (
	"fmt"
	"strconv"
	"strings"
)

// Parse reads the text of /proc/PID/uid_map or gid_map. A namespace whose map has
// not been written has an empty text and gives an empty Map.
//
// Parse checks the form only. The kernel shows the ids outside as the reader's
// own namespace knows them, and ids unknown there as 4294967295; such a map is
// true but could not be written, and [Map.Validate] says so.
func Parse(text string) (Map, error) {
	var m Map
	for n := 1; text != ""; n++ {
		if n > MaxLines {
			return nil, fmt.Errorf("line %d: a map has at most %d lines", n, MaxLines)
		}
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		var r Range
		if !parseThree(strings.Fields(line), &r) {
			return nil, fmt.Errorf("line %d: %s is not INSIDE OUTSIDE COUNT", n, quote(line))
		}
		m = append(m, r)
	}
	return m, nil
}

// parseThree fills r from exactly three decimal numbers.
func parseThree(words []string, r *Range) bool {
	if len(words) != 3 {
		return false
	}
	ok := true
	for i, p := range []*uint32{&r.Inside, &r.Outside, &r.Count} {
		v, err := parseID(words[i])
		*p, ok = v, ok && err == nil
	}
	return ok
}

// parseID reads a decimal number below 2^32, without sign, blank or underscore.
func parseID(s string) (uint32, error) {
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), err
}

// quote makes text that came from a file or a user fit for one line of an error:
// no control bytes, no escape sequences for the terminal, no more than 64 bytes.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
