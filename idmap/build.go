package idmap

import (
	"errors"
	"fmt"
)

// ErrNoSubIDs reports that a user has no subordinate ids to make a map from. The
// fix is a line in /etc/subuid or /etc/subgid, written by usermod --add-subuids.
var ErrNoSubIDs = errors.New("no subordinate ids")

// Self maps the one id inside to the one id outside: the map that everybody may
// write for his own id.
func Self(inside, outside uint32) Map {
	return Map{{Inside: inside, Outside: outside, Count: 1}}
}

// Auto maps inside 0 to the caller and inside 1, 2, … to the caller's subordinate
// ids in the order of subs, as podman does. caller and subs are both users or
// both groups.
//
// What could not be part of a valid map is left out: ranges that are empty, end
// beyond [MaxID], or hold the caller or an id of an earlier range, and all from
// where the map would be too long to write. If nothing is left, the error is [ErrNoSubIDs].
func Auto(caller uint32, subs []SubRange) (Map, error) {
	m := Self(0, caller)
	next, text := uint32(1), len(m.Kernel())
	for _, s := range subs {
		r := Range{Inside: next, Outside: s.First, Count: s.Count}
		line := len(r.String()) + 1
		if len(m) == MaxLines || text+line > maxText {
			break
		}
		// An accepted range ends at MaxID at the latest: next cannot wrap
		// further than to the id that no range may begin at.
		if m.accepts(r) == nil {
			m = append(m, r)
			next += s.Count
			text += line
		}
	}
	if len(m) == 1 {
		return nil, fmt.Errorf("id %d: %w", caller, ErrNoSubIDs)
	}
	return m, nil
}

// BlockSize is the number of ids that one run takes when it has ids of its own.
const BlockSize = 16

// Block maps a block of [BlockSize] ids that begins at base outside: inside 0 to
// 14 are its first fifteen, and the last stands for job, the job's own id, if that
// is above 14.
func Block(base, job uint32) Map {
	const direct = BlockSize - 1
	m := Map{{Inside: 0, Outside: base, Count: direct}}
	if job >= direct {
		m = append(m, Range{Inside: job, Outside: base + direct, Count: 1})
	}
	return m
}
