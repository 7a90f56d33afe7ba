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
// What cannot be looked at is an error: the job, who may be its owner, could.
func (pl *Plan) protect(source, target string, f *facts) error {
	git, err := gitFiles(source)
	if err != nil {
		return err
	}
	var list []string
	for _, name := range append(slices.Clone(f.own), git...) {
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
	pl.writable = append(pl.writable, writableDir{source, gitTraps(source)})
	return nil
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
