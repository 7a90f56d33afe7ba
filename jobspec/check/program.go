package check

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/jobspec"
)

// Exited makes the finding of a checker program from its exit status. score is
// what it left in its score file, feedback what it said. An exit status that
// the convention does not know is an error: the checker failed, not the
// program it judged.
func Exited(convention jobspec.Convention, status int, score, feedback string) (Finding, error) {
	f := Finding{Message: firstLine(feedback)}
	if convention == "testlib" {
		return testlib(f, status, feedback)
	}
	switch status {
	case 42:
		f.OK = true
	case 43:
	default:
		return f, fmt.Errorf("the checker exited %d, which is neither 42 (accepted) nor 43 (wrong): %s", status, f.Message)
	}
	if text := strings.TrimSpace(score); text != "" {
		s, err := strconv.ParseFloat(text, 64)
		if err != nil || s != s || s < 0 || s > 1e9 {
			return f, fmt.Errorf("the checker gave %q as score, which is no number of at least 0", firstLine(text))
		}
		f.Score = &s
	}
	return f, nil
}

// The exit statuses of testlib.h.
func testlib(f Finding, status int, feedback string) (Finding, error) {
	switch status {
	case 0:
		f.OK = true
	case 1, 2, 8: // _wa, _pe, _unexpected_eof
	case 7: // _points: the score is the first word after "points"
		return points(f, feedback)
	default:
		if part := status - 16; part >= 0 && part <= 100 { // _pc(n): n of a hundred
			score := float64(part) / 100
			f.Score, f.OK = &score, part > 0
			return f, nil
		}
		return f, fmt.Errorf("the checker exited %d, which testlib calls a failure of its own: %s", status, f.Message)
	}
	return f, nil
}

func points(f Finding, feedback string) (Finding, error) {
	words := strings.Fields(feedback)
	if len(words) > 1 && words[0] == "points" {
		words = words[1:]
	}
	if len(words) == 0 {
		return f, fmt.Errorf("the checker exited 7, points, and named none")
	}
	s, err := strconv.ParseFloat(words[0], 64)
	if err != nil || s != s || s < 0 || s > 1e9 {
		return f, fmt.Errorf("the checker gave %q as points, which is no number of at least 0", words[0])
	}
	f.Score, f.OK = &s, s > 0
	return f, nil
}

// firstLine is what of a feedback fits a report's line.
func firstLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}
