package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A beneath is the directory of a job file, as a file system that no link
// leads out of ([os.Root] goes by openat2 where the kernel has it, and by
// single steps elsewhere). FIFOs and devices that a stranger's checkout may
// hold are refused without waiting for them.
type beneath struct{ root *os.Root }

func (b beneath) Open(name string) (fs.File, error) {
	f, err := b.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("is neither a file nor a directory")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// A host answers for the directories that jobs may be shown: the job file's
// own, to be read, and what --allow names. The names come from the file, which
// may be a stranger's; its links do not lead elsewhere, because what counts is
// where a name really leads. A job that may write such a directory could
// change a link between this look and the launch: only --allow DIR:rw makes
// any directory writable.
type host struct {
	base  string
	allow allowed
	known sync.Map // name → real path, as long as no job may write anywhere
}

func (h *host) Resolve(name string, write bool) (string, error) {
	if real, ok := h.known.Load(name); ok && !write {
		return real.(string), nil
	}
	real, err := h.resolve(name, write)
	if err == nil && !slices.ContainsFunc(h.allow, func(a allowedDir) bool { return a.write }) {
		h.known.Store(name, real)
	}
	return real, err
}

func (h *host) resolve(name string, write bool) (string, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(h.base, name)
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", err
	}
	if !write && inside(real, h.base) {
		return real, nil
	}
	readable := inside(real, h.base)
	for _, a := range h.allow {
		if inside(real, a.dir) {
			if a.write || !write {
				return real, nil
			}
			readable = true
		}
	}
	if readable {
		return "", fmt.Errorf("may only be read; jailrun batch --allow %s:rw lets jobs write there", real)
	}
	return "", fmt.Errorf("leads to %s, outside the job file's directory; jailrun batch --allow %s lets jobs see it", real, real)
}

// inside reports whether name is dir or lies in it.
func inside(name, dir string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}

// stateDir is where batches keep journals and outputs. As root no variable
// decides it.
func stateDir(asked string) (string, error) {
	if asked != "" {
		return filepath.Abs(asked)
	}
	if os.Geteuid() == 0 {
		return "/var/lib/jailrun/batch", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "jailrun", "batch"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the journal: %w; name one with --state DIR", err)
	}
	return filepath.Join(home, ".local", "state", "jailrun", "batch"), nil
}
