package idmap

import (
	"errors"
	"fmt"
	"strings"
)

// Mode is a way to choose the map of a run.
type Mode uint8

// The modes of --map.
const (
	ModeSelf     Mode = iota // one line, the caller's own id; needs no set-up
	ModeAuto                 // the caller and its subordinate ids
	ModeIsolated             // a block of 16 subordinate ids, locked for this run
	ModeExplicit             // the lines that were given
)

// Choice is what --map asks for. The zero value is self.
type Choice struct {
	Mode Mode
	Map  Map // ModeExplicit only: valid, for users and for groups alike
}

// String is c as --map takes it.
func (c Choice) String() string {
	switch c.Mode {
	case ModeAuto:
		return "auto"
	case ModeIsolated:
		return "auto:isolated"
	case ModeExplicit:
		return c.Map.String()
	default:
		return "self"
	}
}

const mapForms = "want self, auto, auto:isolated or INSIDE:OUTSIDE:COUNT[,...], such as 0:100000:65536"

// ParseFlag reads the value of --map: self, auto, auto:isolated, or lines
// INSIDE:OUTSIDE:COUNT separated by commas. The error names the value and what
// would be right; it has no prefix.
func ParseFlag(value string) (Choice, error) {
	switch value {
	case "self":
		return Choice{Mode: ModeSelf}, nil
	case "auto":
		return Choice{Mode: ModeAuto}, nil
	case "auto:isolated":
		return Choice{Mode: ModeIsolated}, nil
	case "":
		return Choice{}, errors.New("the map is empty: " + mapForms)
	}
	// Bounded before it is split: the value may come from a job file.
	if n := strings.Count(value, ",") + 1; n > MaxLines {
		return Choice{}, fmt.Errorf("%s has %d lines, the kernel takes %d", quote(value), n, MaxLines)
	}
	var m Map
	for line := range strings.SplitSeq(value, ",") {
		var r Range
		words := strings.Split(line, ":")
		if !parseThree(words, &r) {
			return Choice{}, fmt.Errorf("%s is not a map: %s", quote(line), mapFix(words))
		}
		m = append(m, r)
	}
	if err := m.Validate(); err != nil {
		return Choice{}, fmt.Errorf("%s: %w", quote(value), err)
	}
	return Choice{Mode: ModeExplicit, Map: m}, nil
}

// mapFix says what is wrong with the words of one line.
func mapFix(words []string) string {
	if len(words) != 2 && len(words) != 3 {
		return mapForms
	}
	for _, w := range words {
		if _, err := parseID(w); err != nil {
			if w == "" || strings.Trim(w, "0123456789") != "" {
				return mapForms
			}
			return quote(w) + " is beyond the highest id, 4294967294"
		}
	}
	return fmt.Sprintf("the count is missing; did you mean %s:%s:1?", words[0], words[1])
}

// User is what --user asks for: who the job is inside. The zero value is 0:0.
type User struct {
	UID, GID uint32 // inside
	// Caller asks for the caller's own numbers and name; UID and GID are 0.
	Caller bool
}

// String is u as --user takes it.
func (u User) String() string {
	if u.Caller {
		return "caller"
	}
	return fmt.Sprintf("%d:%d", u.UID, u.GID)
}

// ParseUser reads the value of --user: UID, UID:GID or caller. A GID not given is
// the UID. The error names the value and what would be right; it has no prefix.
func ParseUser(value string) (User, error) {
	if value == "caller" {
		return User{Caller: true}, nil
	}
	uid, gid, two := strings.Cut(value, ":")
	if !two {
		gid = uid
	}
	var u User
	for _, p := range []struct {
		word string
		id   *uint32
	}{{uid, &u.UID}, {gid, &u.GID}} {
		v, err := parseID(p.word)
		switch {
		case err == nil && v <= MaxID:
			*p.id = v
		case p.word != "" && strings.Trim(p.word, "0123456789") == "":
			return User{}, fmt.Errorf("%s: %s is beyond the highest id, 4294967294", quote(value), quote(p.word))
		default:
			// Names are the business of the root's /etc/passwd, which the
			// job's side could have written: only numbers are unambiguous.
			return User{}, fmt.Errorf("%s is not a user: want numbers, UID or UID:GID (such as 1000:1000), or caller; names are not looked up", quote(value))
		}
	}
	return u, nil
}
