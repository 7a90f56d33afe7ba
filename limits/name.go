package limits

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
)

// runner identifies the process that made a group, in the group's name: its
// pid, its start time in clock ticks after boot, and the boot.
type runner struct {
	pid   int
	start uint64
	boot  string
}

const groupPrefix = "run-"

// self returns the calling process as a runner.
func self(proc string) (runner, error) {
	stat, err := readStat(proc, "self")
	if err != nil {
		return runner{}, err
	}
	name := proc + "/sys/kernel/random/boot_id"
	boot, err := readFile(name)
	if err != nil {
		return runner{}, err
	}
	if len(boot) < 8 || bytes.IndexByte(boot[:8], '-') >= 0 {
		return runner{}, &os.PathError{Op: "parse", Path: name, Err: errors.New("not a UUID")}
	}
	return runner{pid: os.Getpid(), start: stat.start, boot: string(boot[:8])}, nil
}

// groupName is run-PID-START-BOOT-ID.
func (r runner) groupName(id string) string {
	return groupPrefix + strconv.Itoa(r.pid) + "-" + strconv.FormatUint(r.start, 10) + "-" + r.boot + "-" + id
}

// parseGroupName returns the runner named in a group's name; ok is false for
// a name that is not of that form.
func parseGroupName(name string) (r runner, ok bool) {
	rest, ok := strings.CutPrefix(name, groupPrefix)
	parts := strings.SplitN(rest, "-", 4)
	if !ok || len(parts) != 4 || parts[2] == "" || !validID(parts[3]) {
		return runner{}, false
	}
	pid, okPID := parseUint([]byte(parts[0]))
	start, okStart := parseUint([]byte(parts[1]))
	if !okPID || !okStart || pid == 0 || pid > math.MaxInt32 {
		return runner{}, false
	}
	return runner{int(pid), start, parts[2]}, true
}

// alive reports whether the runner still exists. When in doubt it does.
func (r runner) alive(proc string, now runner) bool {
	if r.boot != now.boot {
		return false
	}
	stat, err := readStat(proc, strconv.Itoa(r.pid))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	return err != nil || stat.start == r.start
}

// validID accepts the part of a group's name that the caller chooses: it
// becomes a file name, and must not look like something else of ours.
func validID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
