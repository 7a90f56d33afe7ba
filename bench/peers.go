package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// The names that goals refer to.
const (
	nameJailrun = "jailrun"
	nameBwrap   = "bwrap"
	nameNsjail  = "nsjail"
	nameCrun    = "crun"
	nameRunc    = "runc"
	nameFloor   = "floor"
	nameVersion = "jailrun-version"
	nameEmpty   = "empty-go"
)

const job = "/bin/true"

// What can be isolated. The words of jailrun's own list are those that its
// plan makes true.
const (
	sevenNamespaces = "user, mount, pid, ipc, uts, net and cgroup namespaces"
	sixNamespaces   = "user, mount, pid, ipc, uts and net namespaces"
	sameRoot        = "the same directories, read-only"
	procMasks       = "masked /proc"
	noCaps          = "no capabilities, no_new_privs"
	pidOne          = "a pid 1 of its own"
	filter          = "system call filter"
	rlimits         = "all sixteen rlimits"
	sysctls         = "no nested namespaces (user.max_*)"
	cow             = "copy-on-write current directory"
	etc             = "passwd, hosts, … of its own"
	streams         = "streams through pipes, counted"
	result          = "a verdict from evidence"
	timeNamespace   = "time namespace"
)

// contenders lists those that are asked for and work here, and the others with
// the reason.
func contenders(ctx context.Context, dir, only string) (list []*contender, missing []Missing, err error) {
	asked := map[string]bool{nameJailrun: true}
	for name := range strings.SplitSeq(only, ",") {
		asked[name] = true
	}
	work, err := os.Getwd()
	if err != nil {
		return nil, nil, err
	}
	s, err := lookShape(ctx, work, filepath.Join(dir, "empty"))
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for _, c := range field(ctx, dir, s) {
		names = append(names, c.Name)
		if only != "" && !asked[c.Name] {
			continue
		}
		if err := c.works(ctx); err != nil {
			if c.Name == nameJailrun {
				return nil, nil, err
			}
			missing = append(missing, Missing{c.Name, err.Error()})
			continue
		}
		if c.Name != nameFloor && c.Name != "exec" && c.Name != nameEmpty && c.Name != nameVersion {
			c.Version = version(ctx, c.path)
		}
		list = append(list, c)
	}
	for name := range strings.SplitSeq(only, ",") {
		if only != "" && !slices.Contains(names, name) {
			return nil, nil, fmt.Errorf("--only %q: unknown, want some of %s", name, strings.Join(names, ","))
		}
	}
	return list, missing, nil
}

// field is everybody who may take part.
func field(ctx context.Context, dir string, s *shape) []*contender {
	jailrun := filepath.Join(dir, "jailrun")
	more := []string{filter, rlimits, sysctls, timeNamespace, cow, etc, streams, result}
	return []*contender{
		{
			Name: nameJailrun, About: "everything in force", argv: []string{jailrun, "-q", "--", job},
			Isolates: append([]string{sevenNamespaces, sameRoot, procMasks, noCaps, pidOne}, more...),
		},
		{
			Name: nameBwrap, About: "bubblewrap with the same mounts", argv: s.bwrap(true),
			Isolates: []string{sevenNamespaces, sameRoot, procMasks, noCaps, pidOne}, Lacks: more,
		},
		{
			Name: "bwrap-unmasked", About: "the same without the masks in /proc", argv: s.bwrap(false),
			Isolates: []string{sevenNamespaces, sameRoot, noCaps, pidOne}, Lacks: append([]string{procMasks}, more...),
		},
		{
			Name: nameNsjail, About: "nsjail with the same mounts, once", argv: s.nsjail(),
			Isolates: []string{sevenNamespaces, sameRoot, procMasks, noCaps, "eight rlimits"},
			Lacks:    append([]string{pidOne + " (the job is pid 1)"}, more...),
		},
		s.oci(ctx, nameCrun, filepath.Join(dir, "work", "crun")),
		s.oci(ctx, nameRunc, filepath.Join(dir, "work", "runc")),
		{
			Name: "firejail", About: "firejail without a profile", argv: []string{"firejail", "--quiet", "--noprofile", "--private", "--net=none", job},
			Isolates: []string{"mount, pid and net namespaces, as setuid root"}, Lacks: append([]string{sameRoot + " (the host's own)", procMasks}, more...),
		},
		{
			Name: "isolate", About: "isolate, box 0", argv: []string{"isolate", "--silent", "--run", "--", job},
			Isolates: []string{"mount, pid, ipc and net namespaces, as setuid root"}, Lacks: append([]string{procMasks, noCaps}, more...),
		},
		{
			Name: "unshare", About: "unshare of util-linux: namespaces and nothing else", argv: []string{"unshare", "-UrmpiunC", "--fork", "--mount-proc", job},
			Isolates: []string{sevenNamespaces}, Lacks: append([]string{sameRoot + " (the host's own)", procMasks, noCaps}, more...),
		},
		{
			Name: nameFloor, About: "a C program with exactly the calls of the plan", argv: []string{buildFloorOf(ctx, dir)},
			Isolates: append([]string{sevenNamespaces, sameRoot, procMasks, noCaps, pidOne}, more[:len(more)-2]...),
			Lacks:    []string{streams, result},
		},
		{Name: nameVersion, About: "`jailrun version`: the start of jailrun itself", argv: []string{jailrun, "version"}},
		{Name: nameEmpty, About: "an empty Go program", argv: []string{filepath.Join(dir, emptyGo)}},
		{Name: "exec", About: "fork and exec of " + job, argv: []string{job}},
	}
}

// buildFloorOf builds the floor in the directory; what is wrong shows when it
// is run.
func buildFloorOf(ctx context.Context, dir string) string {
	parts := filepath.Join(dir, "work", "floor-parts")
	plan, err := planOfJailrun()
	if err == nil {
		err = os.Mkdir(parts, 0o755)
	}
	path := ""
	if err == nil {
		path, err = buildFloor(ctx, plan, parts)
	}
	if err != nil {
		return "floor (" + err.Error() + ")"
	}
	return path
}

// planOfJailrun is the plan of `jailrun -- /bin/true` in this directory. The
// command line always gives the job a stdin.
func planOfJailrun() (*prog.Program, error) {
	c := sandbox.Command(job)
	c.Stdin = os.Stdin
	plan, err := c.Plan()
	if err != nil {
		return nil, err
	}
	return plan.Program, nil
}

func (s *shape) bwrap(masks bool) []string {
	args := []string{"bwrap", "--unshare-all"}
	for _, b := range s.binds {
		args = append(args, "--ro-bind", b, b)
	}
	args = append(args, "--ro-bind", s.work, sandbox.WorkDir, "--proc", "/proc")
	for _, m := range s.masks {
		switch {
		case !masks:
		case m.file:
			args = append(args, "--ro-bind", "/dev/null", m.target)
		default:
			args = append(args, "--ro-bind", s.empty, m.target)
		}
	}
	for _, l := range s.links {
		args = append(args, "--symlink", l[1], "/"+l[0])
	}
	args = append(args, "--dev", "/dev")
	for _, d := range dirs {
		args = append(args, "--dir", d)
	}
	return append(args, "--chdir", sandbox.WorkDir, "--", job)
}

func (s *shape) nsjail() []string {
	args := []string{nameNsjail, "-Mo", "--really_quiet", "--rlimit_as", "hard", "--cwd", sandbox.WorkDir}
	for _, b := range s.binds {
		args = append(args, "-R", b)
	}
	args = append(args, "-R", s.work+":"+sandbox.WorkDir)
	for _, d := range devices {
		args = append(args, "-B", d)
	}
	for _, l := range s.links {
		args = append(args, "-s", l[1]+":/"+l[0])
	}
	for _, d := range dirs {
		args = append(args, "-T", d)
	}
	// Its own /proc comes before all other mounts and cannot be masked then.
	args = append(args, "--disable_proc", "-m", "none:/proc:proc:")
	for _, m := range s.masks {
		if m.target == "/proc/mtrr" {
			continue // nsjail opens what it covers for writing, which this one refuses
		}
		source := s.empty
		if m.file {
			source = "/dev/null"
		}
		args = append(args, "-R", source+":"+m.target)
	}
	return append(args, "--", job)
}
