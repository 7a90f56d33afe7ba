package main

import (
	"context"
	"errors"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
)

// lookAround is a job that prints its mounts and the links in its root.
const lookAround = `cat /proc/self/mountinfo
	cd /; for f in *; do [ ! -L "$f" ] || echo "link $f $(readlink "$f")"; done`

// bwrapArgs returns the arguments with which bubblewrap makes the mounts of
// jailrun's sandbox, as a job in one sees them. masks includes those that hide
// parts of /proc: bubblewrap reads all of mountinfo for each bind, so they cost
// it more than they cost the kernel.
//
// What is left out makes bubblewrap's work smaller, not larger: the files
// written to /etc, sizes, rlimits, the filter, the sysctls.
func bwrapArgs(ctx context.Context, work, empty string, masks bool) ([]string, error) {
	seen, _, err := sandbox.Command("sh", "-c", lookAround).Output(ctx)
	if err != nil {
		return nil, err
	}
	return translate(string(seen), work, empty, masks)
}

func translate(seen, work, empty string, masks bool) ([]string, error) {
	var args []string
	shown := map[string]bool{}
	for line := range strings.Lines(seen) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "link" {
			args = append(args, "--symlink", fields[2], "/"+fields[1])
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
		case target == "/" || target == "/dev" || strings.HasPrefix(target, "/dev/"):
			// bubblewrap makes its own
		case target == sandbox.WorkDir:
			args = append(args, "--ro-bind", work, target)
		case fstype == "proc":
			args = append(args, "--proc", target)
		case !strings.HasPrefix(target, "/proc/"):
			args = append(args, "--ro-bind", target, target)
		case masks && source == "/null":
			args = append(args, "--ro-bind", "/dev/null", target)
		case masks:
			args = append(args, "--ro-bind", empty, target)
		}
	}
	for _, want := range [...]string{"/usr", "/proc", sandbox.WorkDir} {
		if !shown[want] {
			return nil, errors.New("the job sees no " + want + " of its own, so this is not jailrun's usual sandbox")
		}
	}
	return append(args, "--dev", "/dev", "--dir", "/tmp", "--dir", sandbox.Home, "--dir", "/var/tmp"), nil
}
