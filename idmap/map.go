package idmap

import (
	"errors"
	"fmt"
	"strconv"
)

const (
	// MaxLines is the number of lines that the kernel takes in one map
	// (UID_GID_MAP_MAX_EXTENTS; five before Linux 4.15).
	MaxLines = 340

	// MaxID is the highest usable id. The next one, 2^32-1, is (uid_t)-1, which
	// set*id calls read as "leave it alone" and which no map may hold.
	MaxID = 1<<32 - 2

	// maxText bounds the text of one map: the kernel refuses a write of a page
	// or more (map_write in kernel/user_namespace.c), and 4096 is the smallest
	// page.
	maxText = 4096 - 1
)

// ErrEmpty reports a map without a line. The kernel refuses to write one.
var ErrEmpty = errors.New("the map has no lines")

// Range is one line of a map: Count ids that begin at Inside stand for Count ids
// that begin at Outside. The zero value is not valid.
type Range struct {
	Inside, Outside, Count uint32
}

// Map is the id map of one user namespace. Its lines are in no particular order;
// the kernel sorts what it needs sorted. The zero value maps nothing.
type Map []Range

// Validate says why the kernel would refuse m, nil if it would not: no line, too
// many lines or too much text for one write, a count of zero, an id beyond
// [MaxID], two lines that share an id inside or outside. It does not know whether
// the writer may use the ids outside.
//
// The error names the line, counted from 1, as IN:OUT:COUNT.
func (m Map) Validate() error {
	if len(m) == 0 {
		return ErrEmpty
	}
	if len(m) > MaxLines {
		return fmt.Errorf("the map has %d lines, the kernel takes %d", len(m), MaxLines)
	}
	for i, r := range m {
		if err := m[:i].accepts(r); err != nil {
			return fmt.Errorf("line %d (%v) %w", i+1, r, err)
		}
	}
	if n := len(m.Kernel()); n > maxText {
		return fmt.Errorf("the map's text is %d bytes long, the kernel takes %d", n, maxText)
	}
	return nil
}

// accepts says why r cannot be one more line of m, whose lines are valid.
func (m Map) accepts(r Range) error {
	switch {
	case r.Count == 0:
		return errors.New("has a count of 0")
	case !fits(r.Inside, r.Count):
		return fmt.Errorf("ends inside beyond %d, the highest id", uint32(MaxID))
	case !fits(r.Outside, r.Count):
		return fmt.Errorf("ends outside beyond %d, the highest id", uint32(MaxID))
	}
	for j, s := range m {
		if overlap(r.Inside, s.Inside, r.Count, s.Count) {
			return fmt.Errorf("overlaps line %d (%v) inside", j+1, s)
		}
		if overlap(r.Outside, s.Outside, r.Count, s.Count) {
			return fmt.Errorf("overlaps line %d (%v) outside", j+1, s)
		}
	}
	return nil
}

// fits reports whether the last of count ids from first on is at most MaxID.
func fits(first, count uint32) bool {
	return uint64(first)+uint64(count) <= MaxID+1
}

func overlap(a, b, aCount, bCount uint32) bool {
	return uint64(a) < uint64(b)+uint64(bCount) && uint64(b) < uint64(a)+uint64(aCount)
}

// ToOutside gives the id that inside stands for; false if m does not map it.
func (m Map) ToOutside(inside uint32) (uint32, bool) {
	for _, r := range m {
		if inside >= r.Inside && inside-r.Inside < r.Count {
			return r.Outside + (inside - r.Inside), true
		}
	}
	return 0, false
}

// ToInside gives the id that outside is seen as; false if m does not map it, in
// which case the kernel shows it as the overflow id, 65534.
func (m Map) ToInside(outside uint32) (uint32, bool) {
	for _, r := range m {
		if outside >= r.Outside && outside-r.Outside < r.Count {
			return r.Inside + (outside - r.Outside), true
		}
	}
	return 0, false
}

// Nested returns the map of a child of a user namespace with the map m, in which
// every id of m has the same number.
func (m Map) Nested() Map {
	n := make(Map, len(m))
	for i, r := range m {
		n[i] = Range{r.Inside, r.Inside, r.Count}
	}
	return n
}

// Size is the number of ids that m maps.
func (m Map) Size() uint64 {
	var n uint64
	for _, r := range m {
		n += uint64(r.Count)
	}
	return n
}

// Kernel is the text to be written, in one write, to /proc/PID/uid_map or
// gid_map: "INSIDE OUTSIDE COUNT\n" for each line.
func (m Map) Kernel() []byte {
	var b []byte
	for _, r := range m {
		b = r.append(b, ' ')
		b = append(b, '\n')
	}
	return b
}

// String is m as --map takes it: "0:1000:1,1:100000:65536".
func (m Map) String() string {
	var b []byte
	for i, r := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.append(b, ':')
	}
	return string(b)
}

// String is r as one line of --map: "0:1000:1".
func (r Range) String() string { return string(r.append(nil, ':')) }

func (r Range) append(b []byte, sep byte) []byte {
	b = strconv.AppendUint(b, uint64(r.Inside), 10)
	b = append(b, sep)
	b = strconv.AppendUint(b, uint64(r.Outside), 10)
	b = append(b, sep)
	return strconv.AppendUint(b, uint64(r.Count), 10)
}
