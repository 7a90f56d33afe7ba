package sandbox

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
)

// fallback decides, after a failed attempt, whether another one may go without
// what this host refuses, and says so in the notes of the result. err is the
// reason why none may; nil and false leave the failure as it is.
func (r *run) fallback(b *build, e *Error) (again bool, err error) {
	pl := r.plan
	if plansUnnamed(e, pl) {
		r.notes = append(r.notes, "denied system calls are not named: a filter with a listener is in force here already")
		b.unnamed = true
		return true, nil
	}
	if why, failed := r.serverFor(e); failed {
		r.event("root", "no server for the root: "+why, 0)
		b.noServer = why
		r.plan.notes = nil // of a root that is not to be
		return true, nil
	}
	if e.Op != "mount overlay" {
		return false, nil
	}
	if n := len(pl.root.Lowers); n > 0 && e.Path == pl.root.Lowers[n-1].Dir && b.noOverlay == "" {
		if r.spec.Upper != "" || r.spec.ExportLayer != "" {
			return false, nil // what is kept has the form of an overlay
		}
		r.event("root", "no overlay for the root; trying a copy", 0)
		b.noOverlay = "overlay is refused (" + e.Errno.Error() + ")"
		return true, nil
	}
	w := &pl.root.Work
	if w.Source != "" && e.Path == w.Source && !slices.Contains(b.plain, w.Source) {
		return r.cwdFallback(b, e)
	}
	for _, m := range pl.root.Extra {
		if m.Source != "" && m.Source == e.Path && !slices.Contains(b.plain, m.Source) {
			if r.spec.requires(RequireOverlay) {
				return false, nil
			}
			if err := plainly("bind", m.Source); err != nil {
				return false, err
			}
			r.plainNote(b, m.Source, e)
			return true, nil
		}
	}
	return false, nil
}

// cwdFallback: a copy of the current directory that nobody asked for becomes
// read-only, and a read-only one a bind mount, if that lends nothing.
func (r *run) cwdFallback(b *build, e *Error) (again bool, err error) {
	pl := r.plan
	if pl.cwd == CWDCopy {
		r.event("root", "the file system of the current directory refuses an overlay; trying a copy", 0)
		b.noWork = "its file system refuses an overlay (" + e.Errno.Error() + ")"
		return true, nil
	}
	if r.spec.requires(RequireOverlay) {
		return false, nil
	}
	if err = plainly("cwd", pl.root.Work.Source); err == nil {
		r.plainNote(b, pl.root.Work.Source, e)
		return true, nil
	}
	if !pl.cwdAuto {
		return false, err
	}
	r.notes = append(r.notes, "the current directory is not shown: "+err.Error())
	b.cwd = CWDNone
	return true, nil
}

func (r *run) plainNote(b *build, source string, e *Error) {
	r.event("root", "no overlay on "+printable(source)+"; trying a bind mount", 0)
	r.notes = append(r.notes, printable(source)+" is shown by a read-only bind mount: its file system refuses an overlay ("+e.Errno.Error()+")")
	b.plain = append(b.plain, source)
}

// mostLooked is how many entries of a tree are looked at for what a read-only
// bind mount would lend: about a tenth of a second.
const mostLooked = 100_000

// plainly says why a directory must not be shown by a bind mount: nil if there
// is nothing in it that a job could connect or write to.
func plainly(field, source string) error {
	found, err := fs.Special(source, mostLooked)
	switch {
	case errors.Is(err, fs.ErrTooMany):
		return fieldError(field, source, "no overlay works there, and it has more files than can be looked through for sockets and FIFOs: give the bind the option sockets")
	case err != nil:
		return &FieldError{field, source, err}
	case found != "":
		return fieldError(field, source, "no overlay works there, and a bind mount would lend the job %q: give the bind the option sockets", found)
	}
	return nil
}

// plansUnnamed says whether a launch failed because one process has one
// listener, which an outer sandbox has set: denied calls are then not named.
func plansUnnamed(err error, pl *Plan) bool {
	var e *Error
	return errors.As(err, &e) && e.Errno == unix.EBUSY && strings.HasPrefix(e.Op, "seccomp") && pl.filters.listen && !pl.filters.record
}
