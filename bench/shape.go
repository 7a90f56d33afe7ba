package bench

import (
	"context"
	"errors"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
)

// A shape is what jailrun's own sandbox looks like from inside, so that others
// can be asked for the same.
type shape struct {
	binds []string    // shown read-only at their own place
	links [][2]string // name in the root, target
	work  string      // directory outside, shown read-only at sandbox.WorkDir
	empty string      // directory outside
	masks []mask
}

// A mask hides an entry of /proc.
type mask struct {
	target string
	file   bool
}

// lookAround is a job that prints its mounts and the links in its root.
const lookAround = `cat /proc/self/mountinfo
	cd /; for f in *; do [ ! -L "$f" ] || echo "link $f $(readlink "$f")"; done`

// lookShape lets a job look around. What is left out makes the work of others
// smaller, not larger: the files written to /etc, sizes, rlimits, the filter,
// the sysctls.
func lookShape(ctx context.Context, work, empty string) (*shape, error) {
	seen, _, err := sandbox.Command("sh", "-c", lookAround).Output(ctx)
	if err != nil {
		return nil, err
	}
	return parseShape(string(seen), work, empty)
}

func parseShape(seen, work, empty string) (*shape, error) {
	s := &shape{work: work, empty: empty}
	shown := map[string]bool{}
	for line := range strings.Lines(seen) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "link" {
			s.links = append(s.links, [2]string{fields[1], fields[2]})
			continue
		}
		before, after, ok := strings.Cut(line, " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(mount) < 6 || len(kind) < 2 {
			return nil, errors.New("not a line of mountinfo: " + line)
		}
		source, target, fstype := mount[3], mount[4], kind[0]
		shown[target] = true
		switch {
		case target == "/" || target == "/dev" || strings.HasPrefix(target, "/dev/"), target == sandbox.WorkDir, fstype == "proc":
			// everybody makes these
		case strings.HasPrefix(target, "/proc/"):
			s.masks = append(s.masks, mask{target, source == "/null"})
		default:
			s.binds = append(s.binds, target)
		}
	}
	for _, want := range [...]string{"/usr", "/proc", sandbox.WorkDir} {
		if !shown[want] {
			return nil, errors.New("the job sees no " + want + " of its own, so this is not jailrun's usual sandbox")
		}
	}
	return s, nil
}

// dirs are the writable directories of the root.
var dirs = [...]string{"/tmp", sandbox.Home, "/var/tmp"}

// devices are bound by those who make no /dev themselves.
var devices = [...]string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
