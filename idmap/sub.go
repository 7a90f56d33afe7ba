package idmap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Bounds of ParseSub. Real files have one or two short lines for each user.
const (
	maxSubLine      = 1024 - 1 // bytes without the newline; shadow's own bound
	maxSubMalformed = 8        // lines reported; the rest are counted by nobody
	maxSubFile      = 64 << 20 // bytes read before giving up
)

// SubRange is a range of subordinate ids: Count ids that begin at First.
type SubRange struct {
	First, Count uint32
}

// String is r as "100000-165535".
func (r SubRange) String() string {
	return fmt.Sprintf("%d-%d", r.First, uint64(r.First)+uint64(r.Count)-1)
}

// Owner names the user whose ranges are wanted. Also for groups, it is a user who
// owns ranges. The zero value is root by number.
type Owner struct {
	UID uint32
	// Names are the login names that have this UID, usually one. nil finds
	// only entries that give the number.
	Names []string
}

func (o Owner) owns(field string) bool {
	return field == strconv.FormatUint(uint64(o.UID), 10) || slices.Contains(o.Names, field)
}

// LineError is a line of /etc/subuid or /etc/subgid that names no range.
type LineError struct {
	Line   int // from 1
	Reason string
}

// Error is the reason with the number of the line. It quotes nothing of the line
// that could control a terminal.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Sub is what a subordinate id file says about one owner. The zero value is that
// of an empty file.
type Sub struct {
	Ranges []SubRange // the owner's, in the order of the file; at most MaxLines
	// Malformed are the first few lines, of any owner, that no tool will use.
	Malformed []*LineError
	// End is the id after the highest one of any owner: where a new range can
	// begin without taking from another user. 0 if the file has no range.
	End uint64
}

// ParseSub reads /etc/subuid or /etc/subgid, lines "OWNER:FIRST:COUNT", in memory
// bounded by one line and the owner's ranges.
//
// It reads as newuidmap does (shadow's lib/subordinateio.c), so that what is found
// here will be granted there: OWNER is a login name or a number; numbers are
// decimal, or with a leading 0x hexadecimal, or with a leading 0 octal; fields
// beyond the third are ignored; a line that is malformed, a comment among them, is
// no error and counts for nothing. It is stricter in three points, where the tool
// itself would fail later: a sign or a blank in a number, a count of 0, and a
// range beyond [MaxID] make a line malformed.
//
// A nil error with no Ranges means that the owner has none. Errors are those of r,
// and a file of absurd size.
func ParseSub(r io.Reader, o Owner) (Sub, error) {
	var sub Sub
	// One byte more than the limit, to tell a file that ends there from one
	// that goes on.
	lim := &io.LimitedReader{R: r, N: maxSubFile + 1}
	br := bufio.NewReaderSize(lim, maxSubLine+1)
	for n := 1; ; n++ {
		line, tooLong, err := readLine(br)
		if lim.N == 0 {
			return sub, fmt.Errorf("line %d: the file is longer than %d bytes", n, maxSubFile)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return sub, err
		}
		sub.add(n, line, tooLong, o)
		if err != nil {
			return sub, nil
		}
	}
}

// readLine returns the next line without its newline, of one that is longer than
// the buffer the beginning. The last line comes with io.EOF; it is empty if the
// text ends with a newline.
func readLine(br *bufio.Reader) (line string, tooLong bool, err error) {
	b, err := br.ReadSlice('\n')
	line = strings.TrimSuffix(string(b), "\n")
	for errors.Is(err, bufio.ErrBufferFull) {
		tooLong = true
		_, err = br.ReadSlice('\n')
	}
	return line, tooLong, err
}

// add takes up line number n.
func (s *Sub) add(n int, line string, tooLong bool, o Owner) {
	if line == "" || line[0] == '#' {
		return
	}
	owner, r, reason := parseSubLine(line)
	if tooLong {
		reason = fmt.Sprintf("the line is longer than %d bytes", maxSubLine)
	}
	switch {
	case reason != "":
		if len(s.Malformed) < maxSubMalformed {
			s.Malformed = append(s.Malformed, &LineError{Line: n, Reason: reason})
		}
		return
	case o.owns(owner) && len(s.Ranges) < MaxLines:
		s.Ranges = append(s.Ranges, r)
	}
	s.End = max(s.End, uint64(r.First)+uint64(r.Count))
}

// parseSubLine gives the fields of one line, or the reason why it has none.
func parseSubLine(line string) (owner string, r SubRange, reason string) {
	f := strings.SplitN(line, ":", 4)
	if len(f) < 3 || f[0] == "" || f[1] == "" || f[2] == "" {
		return "", r, quote(line) + " is not OWNER:FIRST:COUNT"
	}
	first, ok1 := parseShadowNumber(f[1])
	count, ok2 := parseShadowNumber(f[2])
	switch {
	case !ok1:
		return "", r, quote(f[1]) + " is not an id"
	case !ok2:
		return "", r, quote(f[2]) + " is not a count of ids"
	case count == 0:
		return "", r, "the count is 0"
	case !fits(first, count):
		return "", r, fmt.Sprintf("%s ids from %s on end beyond the highest id, %d", f[2], f[1], uint32(MaxID))
	}
	return f[0], SubRange{First: first, Count: count}, ""
}

// parseShadowNumber reads a number as strtoul(3) with base 0 does, which is what
// shadow's getulong calls: 0x is hexadecimal, 0 is octal. Go's base 0 also knows
// 0b, 0o and underscores, which must stay errors.
func parseShadowNumber(s string) (uint32, bool) {
	base := 10
	switch {
	case len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X"):
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		base = 8
	}
	v, err := strconv.ParseUint(s, base, 32)
	return uint32(v), err == nil
}
