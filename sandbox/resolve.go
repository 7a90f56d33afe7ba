package sandbox

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/limits"
)

// resolveRoot turns what was asked of the root into what is to be made.
func (pl *Plan) resolveRoot(s *Spec, f *facts, b build) error {
	job := b.identity.job
	pl.root = fs.Root{
		Host: f.host, ReadOnly: s.ReadOnlyRoot,
		Size: uint64(pl.limits.Disk), Inodes: pl.limits.Inodes, Home: Home, Owner: job,
		PidProc: s.pidProc(),
	}
	if err := pl.resolveLayers(s, f, b); err != nil {
		return err
	}
	pl.root.Etc = fs.Fabricate(s.hostname(), Home, job[0], job[1], pl.users(f))
	pl.resolveNet(s, f, b)
	if err := pl.resolveCWD(s, f, b); err != nil {
		return err
	}
	for _, m := range s.Binds {
		if err := pl.resolveBind(s, f, m, b); err != nil {
			return err
		}
	}
	if err := pl.resolveTmpfs(s); err != nil {
		return err
	}
	for _, x := range s.Files {
		target, _ := fs.Clean(x.Target)
		pl.root.Files = append(pl.root.Files, fs.File{Name: target, Content: x.Content, Mode: 0o644})
	}
	pl.root.Keep, pl.root.Compare = s.collects(), s.Diff != ""
	pl.root.Serve = len(s.CopyIn) > 0 || s.Diff != ""
	return pl.resolveCopyIn(s, f)
}

// resolveTmpfs gives each tmpfs of its own its part of the disk limit, so that
// all writable areas together stay within it.
func (pl *Plan) resolveTmpfs(s *Spec) error {
	root := &pl.root
	for _, t := range s.Tmpfs {
		target, _ := fs.Clean(t.Target)
		x := fs.Mount{Target: target, Dir: true, Mode: fs.Writable}
		if t.Size > 0 {
			if uint64(t.Size)+leastRoot > root.Size {
				return fieldError("tmpfs", t.Target, "its %s leave less than %s of --disk %s to the rest of the root",
					t.Size.Human(), limits.Size(leastRoot).Human(), pl.limits.Disk.Human())
			}
			x.Size, x.Area = uint64(t.Size), pl.Program.Slot("area")
			// Inodes go by bytes, of what the root's own few dozen leave.
			spare := max(root.Inodes-leastInodes, 0)
			x.Inodes = max(16, int(float64(spare)*float64(t.Size)/float64(root.Size)))
			root.Size, root.Inodes = root.Size-x.Size, max(root.Inodes-x.Inodes, leastInodes)
			pl.areas = append(pl.areas, x.Area)
		}
		root.Extra = append(root.Extra, x)
	}
	return nil
}

// What the root itself needs.
const (
	leastRoot   = 1 << 20
	leastInodes = 128
)

// resolveCWD decides how the current directory is seen (CLI.md, "The current
// directory").
func (pl *Plan) resolveCWD(s *Spec, f *facts, b build) error {
	mode := s.CWD
	pl.cwdAuto = mode == CWDAuto
	if b.cwd != CWDAuto {
		mode = b.cwd
	}
	if mode == CWDNone {
		pl.cwd = CWDNone
		return nil
	}
	if f.dir == "" {
		if !pl.cwdAuto {
			return &FieldError{"cwd", "", f.dirErr}
		}
		pl.cwd = CWDNone
		pl.note("the current directory is not shown: %v", f.dirErr)
		return nil
	}
	if why := fs.Sensitive(f.dir, f.home, []string{f.exe}); why != "" && (pl.cwdAuto || !s.unsafe(UnsafeBindHome)) {
		if !pl.cwdAuto && why[:2] == "a " && f.exe != "" && fs.Sensitive(f.dir, f.home, nil) == "" {
			why = "" // only our own program lies there, and it stays as it is
		}
		if why != "" && !pl.cwdAuto {
			return fieldError("cwd", f.dir, "is %s; it is shown only with --unsafe %s", why, UnsafeBindHome)
		}
		if why != "" {
			pl.cwd = CWDNone
			pl.note("the current directory is not shown: it is %s (show it: --cwd ro, or start in another directory)", why)
			return nil
		}
	}
	if mode == CWDAuto {
		mode = CWDCopy
	}
	reason := b.noWork
	if reason == "" && !f.userXattr {
		reason = noXattr
	}
	if mode == CWDCopy && reason != "" {
		ok, why := false, "with a pool nothing is copied"
		if !pl.cwdAuto || !b.pooled {
			ok, why = pl.fillCWD(reason, s, f)
		}
		if !ok && !pl.cwdAuto {
			var without string
			if ok, without = pl.serveCWD(reason, why, s, f, b); !ok {
				why += "; " + without
			}
		}
		switch {
		case ok:
			return nil
		case !pl.cwdAuto || s.requires(RequireOverlay):
			return fieldError("cwd", f.dir, "cannot be cow: %s; %s; use --cwd ro or rw", reason, why)
		}
		mode = CWDReadOnly
		pl.note("the current directory is read-only: %s; %s", reason, why)
	}
	pl.cwd = mode
	pl.root.Work = fs.Mount{Source: f.dir, Target: WorkDir, Dir: true, Mode: fs.Copy}
	switch {
	case mode == CWDWritable:
		pl.root.Work.Mode = fs.Writable // with its sockets and FIFOs, as asked for
		if err := pl.protect(f.dir, WorkDir, f); err != nil {
			return &FieldError{"cwd", f.dir, err}
		}
	case mode == CWDReadOnly && slices.Contains(b.plain, f.dir):
		pl.root.Work.Mode = fs.Plain
	case mode == CWDReadOnly:
		pl.root.Work.Mode = fs.ReadOnly
	}
	if f.uid == 0 {
		pl.root.Work.Mapped, pl.root.Work.HasMapped = pl.Program.Slot("cwd-tree"), true
		pl.mapped = append(pl.mapped, mappedTree{slot: pl.root.Work.Mapped, source: f.dir})
	}
	return nil
}

func (pl *Plan) resolveBind(s *Spec, f *facts, m Bind, b build) error {
	src := m.Source
	if !filepath.IsAbs(src) {
		if f.dir == "" {
			return &FieldError{"bind", m.Source, f.dirErr}
		}
		src = filepath.Join(f.dir, src)
	}
	target := m.Target
	if target == "" {
		target = src
	}
	target, ok := fs.Clean(target)
	if !ok {
		return fieldError("bind", m.Source, "the place inside, %s, must not be /, /proc or /dev", target)
	}
	src, st, err := realPath(src)
	if errors.Is(err, iofs.ErrNotExist) && m.Optional {
		return nil
	}
	if err != nil {
		return &FieldError{"bind", m.Source, err}
	}
	if why := fs.Exposing(src, f.home); why != "" && !s.unsafe(UnsafeBindHome) {
		return fieldError("bind", m.Source, "is %s; it is shown only with --unsafe %s", why, UnsafeBindHome)
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFDIR && !s.unsafe(UnsafeBindSockets) {
		return fieldError("bind", m.Source, "is a socket, FIFO or device; it is shown only with --unsafe %s", UnsafeBindSockets)
	}
	mode := fs.ReadOnly
	switch {
	case m.Writable:
		mode = fs.Writable
		if err := pl.protect(src, target, f); err != nil {
			return &FieldError{"bind", m.Source, err}
		}
	case m.Sockets || slices.Contains(b.plain, src):
		mode = fs.Plain
	}
	pl.addTree(fs.Mount{Source: src, Target: target, Dir: kind == unix.S_IFDIR, Mode: mode, NoExec: m.NoExec}, f)
	return nil
}

// within reports whether name lies in dir.
func within(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

func (s *Spec) unsafe(name string) bool { return slices.Contains(s.Unsafe, name) }

func (pl *Plan) note(format string, a ...any) { pl.notes = append(pl.notes, fmt.Sprintf(format, a...)) }
