package sandbox

import (
	"fmt"
	"path/filepath"
	"strings"
)

// command returns the arguments and the paths to try for the program.
func (s *Spec) command(pl *Plan) (argv, paths []string, err error) {
	argv = s.Args
	name := argv[0]
	if !strings.Contains(name, "/") {
		path := ""
		for _, kv := range s.environment() {
			if v, ok := strings.CutPrefix(kv, "PATH="); ok {
				path = v
			}
		}
		for dir := range strings.SplitSeq(path, ":") {
			if strings.HasPrefix(dir, "/") {
				paths = append(paths, dir+"/"+name)
			}
		}
		if len(paths) == 0 {
			return nil, nil, fmt.Errorf("%s: no absolute directory in the job's PATH %q", name, path)
		}
		return argv, paths, nil
	}
	// A program named by its place outside, in the directory that is shown.
	if src := pl.root.Work.Source; src != "" && filepath.IsAbs(name) {
		if rest, ok := strings.CutPrefix(filepath.Clean(name), src+"/"); ok {
			name = WorkDir + "/" + rest
		}
	}
	return argv, []string{name}, nil
}

func (pl *Plan) workdir(s *Spec) string {
	switch {
	case s.Workdir != "":
		return s.Workdir
	case pl.root.Work.Source != "":
		return WorkDir
	}
	return Home
}

func (s *Spec) environment() []string {
	env := s.Env
	if env == nil {
		env = DefaultEnv()
	}
	return mergeEnv(env, s.AddEnv) // getenv(3) finds the first of a name
}

func (s *Spec) profile() string {
	if s.Seccomp == "" {
		return "default"
	}
	return s.Seccomp
}

func (s *Spec) hostname() string {
	if s.Hostname == "" {
		return "jail"
	}
	return s.Hostname
}
