package userns

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/jailrun/jailrun/idmap"
)

// Files are the files that say who owns which subordinate ids. A field left empty
// is the system's file, so that the zero value is the host.
type Files struct {
	SubUID, SubGID string // /etc/subuid, /etc/subgid
	Passwd         string // /etc/passwd
}

// Sub are the subordinate ids of one user.
type Sub struct {
	UID, GID idmap.Sub
	Owner    idmap.Owner // as whom they were looked for
}

// Lookup returns the subordinate ids of the user uid from the host's files; see
// [Files.Lookup].
func Lookup(uid uint32, name string) (Sub, error) { return Files{}.Lookup(uid, name) }

// Lookup returns the subordinate ids of the user uid. Its names are those of
// /etc/passwd; name adds one that only a directory service knows, "" none.
//
// If there are none of either kind, the error is [idmap.ErrNoSubIDs]; it names the
// file and the first malformed line, and Sub is complete all the same. A missing
// file is an empty one. Hosts that keep the ranges in a directory service (subid:
// in /etc/nsswitch.conf) are not supported: newuidmap would grant what cannot be
// seen here.
func (f Files) Lookup(uid uint32, name string) (Sub, error) {
	f = f.defaults()
	names, err := readFile(f.Passwd, func(r io.Reader) ([]string, error) { return idmap.Names(r, uid) })
	if err != nil {
		return Sub{}, err
	}
	if name != "" && !slices.Contains(names, name) {
		names = append(names, name)
	}
	s := Sub{Owner: idmap.Owner{UID: uid, Names: names}}
	parse := func(r io.Reader) (idmap.Sub, error) { return idmap.ParseSub(r, s.Owner) }
	if s.UID, err = readFile(f.SubUID, parse); err != nil {
		return s, err
	}
	if s.GID, err = readFile(f.SubGID, parse); err != nil {
		return s, err
	}
	return s, both(s.missing(f.SubUID, s.UID), s.missing(f.SubGID, s.GID))
}

func (f Files) defaults() Files {
	for _, d := range []struct {
		path  *string
		value string
	}{{&f.SubUID, "/etc/subuid"}, {&f.SubGID, "/etc/subgid"}, {&f.Passwd, "/etc/passwd"}} {
		if *d.path == "" {
			*d.path = d.value
		}
	}
	return f
}

// missing is the error for a file without ranges of the owner.
func (s Sub) missing(path string, sub idmap.Sub) error {
	switch {
	case len(sub.Ranges) > 0:
		return nil
	case len(sub.Malformed) > 0:
		return fmt.Errorf("%s: %w for %s; malformed: %w", path, idmap.ErrNoSubIDs, s.who(), sub.Malformed[0])
	default:
		return fmt.Errorf("%s: %w for %s", path, idmap.ErrNoSubIDs, s.who())
	}
}

// who names the owner for a person: "alice (uid 1000)".
func (s Sub) who() string {
	uid := "uid " + strconv.FormatUint(uint64(s.Owner.UID), 10)
	if len(s.Owner.Names) == 0 {
		return uid
	}
	return strconv.QuoteToASCII(s.Owner.Names[0]) + " (" + uid + ")"
}

// Fix is the command that gives the owner ranges that nobody else has; root runs
// it.
func (s Sub) Fix() string {
	const first, count = 100000, 65536 // shadow's SUB_UID_MIN, SUB_UID_COUNT
	from := max(first, s.UID.End, s.GID.End)
	span := strconv.FormatUint(from, 10) + "-" + strconv.FormatUint(from+count-1, 10)
	if len(s.Owner.Names) == 0 {
		// usermod knows names only.
		line := strconv.FormatUint(uint64(s.Owner.UID), 10) + ":" + strconv.FormatUint(from, 10) + ":65536"
		return "add the line " + line + " to /etc/subuid and to /etc/subgid"
	}
	return "sudo usermod --add-subuids " + span + " --add-subgids " + span + " " + shellWord(s.Owner.Names[0])
}

// shellWord quotes a login name for a command to be copied, unless it is plain.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if !slices.ContainsFunc([]rune(s), func(r rune) bool { return !plain(r) }) {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// readFile parses a file; one that does not exist is parsed as empty.
func readFile[T any](path string, parse func(io.Reader) (T, error)) (T, error) {
	var none T
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	defer f.Close()
	v, err := parse(f)
	if err != nil {
		return v, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return v, nil
}
