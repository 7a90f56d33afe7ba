package plain

import "strings"

// Nearest returns the name that word was most likely meant to be, or "".
func Nearest(word string, names []string) string {
	// A third of the letters wrong is a slip, more is another word.
	best, name := min(len(word)/3, 3)+1, ""
	for _, n := range names {
		if d := distance(word, n); d < best {
			best, name = d, n
		}
	}
	if name != "" {
		return name
	}
	for _, n := range names {
		if len(word) > 2 && len(n) > 2 && (strings.HasPrefix(word, n) || strings.HasPrefix(n, word)) {
			return n
		}
	}
	return ""
}

// distance counts the letters to change, insert, drop or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	const longest = 48 // a longer word is no slip of a name of ours
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var before, last, row [longest + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
