package sandbox

import (
	"bytes"
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// gitFiles lists what git obeys in a repository at dir, or in a bare one that
// dir is. Where it cannot tell which files those are it lists all of .git.
func gitFiles(dir string) ([]string, error) {
	git := filepath.Join(dir, ".git")
	st, err := lstat(git)
	switch {
	case err != nil:
		return nil, err
	case st != nil && st.Mode().IsRegular():
		return []string{git}, nil // it names the directory
	case st != nil && st.IsDir():
		left := mostModules
		return gitDir(git, &left), nil
	}
	for _, name := range [...]string{"HEAD", "objects", "config"} {
		if st, err := lstat(filepath.Join(dir, name)); err != nil || st == nil {
			return nil, err
		}
	}
	return obeyed(dir), nil
}

// lstat returns nil for what is not there. No other error says that.
func lstat(path string) (os.FileInfo, error) {
	st, err := os.Lstat(path)
	if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return st, err
}

// mostModules bounds how many submodules of a repository are looked at.
const mostModules = 32

// gitDir lists the files of a git directory and of those of its submodules,
// which have submodules of their own. A name with a slash makes a directory in
// modules that is none of git's; all of that is listed.
func gitDir(git string, left *int) []string {
	list := obeyed(git)
	modules := filepath.Join(git, "modules")
	entries, err := os.ReadDir(modules)
	if errors.Is(err, iofs.ErrNotExist) {
		return list
	}
	if *left -= len(entries); err != nil || *left < 0 {
		return append(list, modules)
	}
	for _, e := range entries {
		module := filepath.Join(modules, e.Name())
		if st, err := lstat(filepath.Join(module, "config")); err != nil || st == nil {
			list = append(list, module)
			continue
		}
		list = append(list, gitDir(module, left)...)
	}
	return list
}

// obeyed lists the files of one git directory: all of it where one of them could
// be made, or be put in the place of a link.
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
	worktree := filepath.Join(git, "config.worktree")
	st, err := lstat(worktree)
	switch {
	case err != nil, st == nil && wantsWorktreeConfig(list[0]):
		return []string{git}
	case st != nil:
		list = append(list, worktree)
	}
	return list
}

// wantsWorktreeConfig tells whether git would obey a config.worktree
// (extensions.worktreeConfig, git-config(1)); it is on the safe side.
func wantsWorktreeConfig(config string) bool {
	text, err := os.ReadFile(config)
	return err != nil || bytes.Contains(bytes.ToLower(text), []byte("worktreeconfig"))
}

// A writableDir is a directory of the host's that the job may write to.
type writableDir struct {
	dir   string
	traps []string // what of gitTraps was there before the job
}

// gitTraps names what in a directory makes git obey files that are not
// protected, because they are not there: a repository, at its place or as a bare
// one, and the file that has a repository's configuration elsewhere
// (gitrepository-layout(5), commondir).
func gitTraps(dir string) (list []string) {
	for _, name := range [...]string{".git", ".git/commondir", "HEAD"} {
		if name == "HEAD" && !exists(filepath.Join(dir, "objects")) {
			continue
		}
		if exists(filepath.Join(dir, name)) {
			list = append(list, name)
		}
	}
	return list
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// newGit names the traps that the job has set.
func (r *run) newGit() {
	if r.plan == nil {
		return
	}
	for _, w := range r.plan.writable {
		for _, name := range gitTraps(w.dir) {
			if !slices.Contains(w.traps, name) {
				r.notes = append(r.notes, "the job has made "+printable(w.dir)+"/"+name+": git would obey configuration and hooks of the job's there; look at it before git runs in that directory")
			}
		}
	}
}
