package limits

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
)

// v2Path returns the cgroup v2 path of /proc/PID/cgroup, relative to the root
// of the reader's cgroup namespace.
func v2Path(text []byte) (path string, ok bool) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("0::/")); ok {
			return "/" + string(bytes.TrimSuffix(rest, []byte{'\n'})), true
		}
	}
	return "", false
}

// onV1 reports whether a controller is bound to a cgroup v1 hierarchy, where
// v2 cannot have it. Lines are "4:memory:/path" or "2:cpu,cpuacct:/path".
func onV1(text []byte, controller string) bool {
	if controller == "io" {
		controller = "blkio"
	}
	for line := range bytes.Lines(text) {
		if _, rest, ok := bytes.Cut(line, []byte{':'}); ok {
			names, _, _ := bytes.Cut(rest, []byte{':'})
			for name := range bytes.SplitSeq(names, []byte{','}) {
				if string(name) == controller {
					return true
				}
			}
		}
	}
	return false
}

// mountPoint is where a file system is mounted, and which directory of it.
type mountPoint struct{ point, root string }

// cgroup2Mounts returns the cgroup v2 mounts of a mountinfo text:
//
//	41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
func cgroup2Mounts(text []byte) []mountPoint {
	var mounts []mountPoint
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(" - cgroup2 ")) {
			continue
		}
		if fields := strings.Fields(string(line)); len(fields) > 6 {
			mounts = append(mounts, mountPoint{point: unescapeMount(fields[4]), root: unescapeMount(fields[3])})
		}
	}
	return mounts
}

// unescapeMount undoes mountinfo's escapes of space, tab, newline and
// backslash: \040 and so on.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// below returns the directory that a cgroup path has in a mount, if it is
// visible there. A path or root with ".." lies outside the cgroup namespace.
func (m mountPoint) below(path string) (dir string, ok bool) {
	if strings.Contains(path, "/..") || strings.Contains(m.root, "/..") {
		return "", false
	}
	root := strings.TrimSuffix(m.root, "/")
	rest, ok := strings.CutPrefix(path, root)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimSuffix(m.point+rest, "/"), true
}

// procStat is what the package needs of /proc/PID/stat.
type procStat struct {
	comm          []byte // part of the text it was read from
	state         byte
	ppid, threads int
	own           uint64 // clock ticks of the whole thread group, exited threads included
	kids          uint64 // clock ticks of the children that were waited for, and theirs
	start         uint64 // clock ticks after boot
}

var errStat = errors.New("not in the form of proc(5) stat")

// parseStat reads a /proc/PID/stat line. The command in it may hold spaces and
// parentheses, so the last one ends it.
func parseStat(text []byte) (s procStat, err error) {
	first, last := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if first < 0 || last < first {
		return s, errStat
	}
	s.comm = text[first+1 : last]
	// Fields by their number in proc(5), from state (3) to starttime (22).
	// Some are negative (tpgid, priority, nice), none of those is used.
	var fields [23]uint64
	number := 3
	for word := range bytes.FieldsSeq(text[last+1:]) {
		if number == 3 {
			s.state = word[0]
		} else {
			fields[number], _ = parseUint(word)
		}
		if number++; number == len(fields) {
			break
		}
	}
	if number != len(fields) {
		return s, errStat
	}
	s.ppid, s.threads = int(fields[4]), int(fields[20])
	s.own, s.kids = fields[14]+fields[15], fields[16]+fields[17]
	s.start = fields[22]
	return s, nil
}

// readStat reads the stat file of a process below a /proc directory; pid may
// be "self".
func readStat(proc, pid string) (procStat, error) {
	name := proc + "/" + pid + "/stat"
	text, err := readFile(name)
	if err != nil {
		return procStat{}, err
	}
	s, err := parseStat(text)
	if err != nil {
		return s, &os.PathError{Op: "parse", Path: name, Err: err}
	}
	return s, nil
}
