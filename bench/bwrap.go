package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// bwrapArgs translates the mounts of a plan into bubblewrap's arguments, so
// that both make the same tree. masks includes the mounts that hide parts of
// /proc: bubblewrap reads all of mountinfo for each bind, which they multiply.
//
// What it does not translate makes bubblewrap's work smaller, not larger: the
// files written to /etc, sizes, rlimits, the filter, the sysctls.
func bwrapArgs(p *prog.Program, work, empty string, masks bool) ([]string, error) {
	var args []string
	shown := map[string]bool{}
	for _, s := range p.Init {
		line := p.Text(s, true)
		names := quoted(line)
		if len(names) < 2 {
			continue
		}
		source, target := names[0], names[1]
		host, ofHost := strings.CutPrefix(source, "/.old/")
		inProc := strings.HasPrefix(target, "/proc/")
		switch {
		case strings.HasPrefix(target, "/dev"):
			// bubblewrap makes its own /dev
		case s.Name == "symlinkat":
			args = append(args, "--symlink", source, target)
		case s.Name == "mount" && source == "overlay":
			shown[target] = true
			args = append(args, "--ro-bind", work, target)
		case s.Name == "mount" && source == "proc":
			args = append(args, "--proc", target)
		case s.Name == "mount" && ofHost:
			shown[target] = true
			args = append(args, "--ro-bind", "/"+host, target)
		case masks && inProc && source == "/dev/null":
			args = append(args, "--ro-bind", source, target)
		case masks && inProc && (s.Name == "mount" || s.Name == "move_mount"):
			args = append(args, "--ro-bind", empty, target)
		}
	}
	if !shown["/usr"] || !shown[sandbox.WorkDir] {
		return nil, errors.New("the plan does not show /usr and a current directory: its form is not the one that bwrapArgs knows")
	}
	return append(args, "--dev", "/dev", "--dir", "/tmp", "--dir", sandbox.Home, "--dir", "/var/tmp"), nil
}

// quoted returns the quoted strings of a printed step, without those of its
// note.
func quoted(line string) []string {
	line, _, _ = strings.Cut(line, ")  # ")
	var out []string
	for {
		i := strings.IndexByte(line, '"')
		if i < 0 {
			return out
		}
		line = line[i:]
		q, err := strconv.QuotedPrefix(line)
		if err != nil {
			return out
		}
		text, err := strconv.Unquote(q)
		if err != nil {
			return out
		}
		out, line = append(out, text), line[len(q):]
	}
}
