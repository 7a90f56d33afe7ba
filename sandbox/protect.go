package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/fs"
)

// Where the caller will execute, or obey, what lies in a directory that the job
// may write to, that stays read-only: jailrun's own programs and state, and
// what git runs and reads by itself in a repository. A job that could write
// there would be out of its sandbox at the caller's next "git status" (a hook,
// core.fsmonitor) or next run.

// protect pins what must stay read-only in a writable directory of the host's.
func (pl *Plan) protect(source, target string, f *facts) {
	var list []string
	for _, name := range append(slices.Clone(f.own), gitFiles(source)...) {
		if name != source && within(name, source) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list) // outer ones first
	for i, name := range list {
		if i > 0 && within(name, list[i-1]) {
			list[i] = list[i-1]
			continue
		}
		rel := strings.TrimPrefix(name, source)
		for k := 1; k < len(rel); k++ {
			if rel[k] == '/' {
				pl.pin(target+rel[:k], false)
			}
		}
		pl.pin(target+rel, true)
	}
	if _, err := os.Lstat(filepath.Join(source, ".git")); err != nil {
		pl.noGit = append(pl.noGit, source)
	}
}

func (pl *Plan) pin(target string, readOnly bool) {
	for i := range pl.root.Pins {
		if p := &pl.root.Pins[i]; p.Target == target {
			p.ReadOnly = p.ReadOnly || readOnly
			return
		}
	}
	pl.root.Pins = append(pl.root.Pins, fs.Pin{Target: target, ReadOnly: readOnly})
}

// mostModules bounds how many submodules of a repository are looked at.
const mostModules = 32

// gitFiles lists what git obeys in a repository at dir, or in a bare one that
// dir is. Without its hooks directory the whole of .git is listed: the job
// could make one.
func gitFiles(dir string) []string {
	git := filepath.Join(dir, ".git")
	st, err := os.Lstat(git)
	switch {
	case err == nil && st.Mode().IsRegular():
		return []string{git} // it names the directory
	case err == nil && st.IsDir():
		list := obeyed(git)
		modules, _ := filepath.Glob(filepath.Join(git, "modules", "*", "config"))
		if len(modules) > mostModules {
			return append(list, filepath.Join(git, "modules"))
		}
		for _, config := range modules {
			list = append(list, obeyed(filepath.Dir(config))...)
		}
		return list
	}
	for _, name := range [...]string{"HEAD", "objects", "config"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			return nil
		}
	}
	return obeyed(dir)
}

// obeyed lists the files of one git directory.
func obeyed(git string) []string {
	var list []string
	for _, name := range [...]string{"config", "hooks"} {
		path := filepath.Join(git, name)
		st, err := os.Lstat(path)
		if err != nil || st.Mode()&os.ModeSymlink != 0 {
			return []string{git}
		}
		list = append(list, path)
	}
	if path := filepath.Join(git, "config.worktree"); exists(path) {
		list = append(list, path)
	}
	return list
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ownPlaces lists what belongs to jailrun itself, as far as it exists: its
// programs, and where it keeps state.
func ownPlaces(exe, home string, uid int) []string {
	var list []string
	add := func(path string) {
		if real, err := filepath.EvalSymlinks(path); err == nil && real != "/" {
			list = append(list, real)
		}
	}
	if exe != "" {
		add(exe)
		siblings, _ := filepath.Glob(filepath.Join(filepath.Dir(exe), "jailrun-*"))
		for _, s := range siblings {
			add(s)
		}
		add(filepath.Join(filepath.Dir(exe), "../libexec/jailrun"))
	}
	if uid == 0 {
		add("/var/lib/jailrun")
		add("/var/cache/jailrun")
		return list
	}
	for _, x := range [...]struct{ variable, fallback string }{
		{"XDG_STATE_HOME", ".local/state"}, {"XDG_CACHE_HOME", ".cache"}, {"XDG_DATA_HOME", ".local/share"}, {"XDG_CONFIG_HOME", ".config"},
	} {
		dir := os.Getenv(x.variable)
		if dir == "" && home != "" {
			dir = filepath.Join(home, x.fallback)
		}
		if dir != "" {
			add(filepath.Join(dir, "jailrun"))
		}
	}
	return list
}

// newGit names the writable directories that the job has made a repository of:
// git obeys what is in it, too.
func (r *run) newGit() {
	if r.plan == nil {
		return
	}
	for _, dir := range r.plan.noGit {
		if exists(filepath.Join(dir, ".git")) {
			r.notes = append(r.notes, "the job has made "+printable(dir)+"/.git: look at its config and hooks before git runs there")
		}
	}
}
