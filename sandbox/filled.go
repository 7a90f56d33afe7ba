package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/fs/transfer"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// What is copied, at most, where no overlay works: a few tenths of a second.
const (
	mostFilled        = 64 * limits.MiB
	mostFilledEntries = 8192
)

// filling is what the runner copies of layers, if that is small enough; else
// why is the reason. Dirs are directories outside, the topmost first.
func (pl *Plan) filling(dirs []string, without map[string]bool, f *facts) (fill *transfer.Filling, size, why string) {
	fill = &transfer.Filling{
		Layers: dirs, Without: without, OwnOnly: f.uid == 0,
		Bounds: transfer.Bounds{
			Bytes:   int64(min(mostFilled, pl.limits.Disk/2)),
			Entries: min(mostFilledEntries, pl.limits.Inodes/2),
		},
	}
	n, err := fill.Measure()
	if err != nil {
		return nil, "", fmt.Sprintf("to copy it takes more than %s or %d files, or not all of it can be read: %v",
			limits.Size(fill.Bounds.Bytes).Human(), fill.Bounds.Entries, err)
	}
	return fill, fmt.Sprintf("%d files, %s of --disk", n.Entries, limits.Size(n.Bytes).Human()), ""
}

const noXattr = "before Linux 6.6 no overlay works on a tmpfs"

// resolveFilled decides whether a root of layers is a copy instead of an
// overlay: where an attempt showed that no overlay is possible, and where one
// can have no writable layer.
func (pl *Plan) resolveFilled(s *Spec, f *facts, b build) error {
	reason := b.noOverlay
	if reason == "" && (f.userXattr || s.ReadOnlyRoot || s.Upper != "" || s.ExportLayer != "") {
		return nil
	}
	if reason == "" {
		reason = noXattr
	}
	if s.requires(RequireOverlay) {
		return fieldError("require", RequireOverlay, "the root of %s can be none: %s", s.Rootfs, reason)
	}
	dirs := layerDirs(pl.root.Lowers)
	fill, size, why := pl.filling(dirs, map[string]bool{"dev": true, "proc": true}, f)
	if fill != nil {
		pl.root.Filled, pl.fillRoot = true, fill
		pl.note("the root is a copy in memory (%s): %s", size, reason)
		return nil
	}
	without := pl.serveRoot(f, b, reason, why)
	if pl.root.Served || b.noOverlay == "" {
		return nil // read-only layers do
	}
	return pl.bindRoot(s, f, b, dirs, why, without)
}

// serveRoot has fuse-overlayfs stack the layers, if it is there; else without is
// why it cannot.
func (pl *Plan) serveRoot(f *facts, b build, reason, why string) (without string) {
	program, without := f.server(b)
	if without != "" {
		return without
	}
	pl.root.Served = true
	pl.planServer(pl.root.Lowers, true, f, b)
	pl.note("the root is an overlay of %s, in a sandbox of its own: %s; %s", program, reason, why)
	return ""
}

// serveCWD has fuse-overlayfs keep aside what is written to the current
// directory, if that was asked for; else without is why it cannot.
func (pl *Plan) serveCWD(reason, why string, s *Spec, f *facts, b build) (ok bool, without string) {
	switch {
	case s.requires(RequireOverlay):
		return false, "and fuse-overlayfs"
	case s.Diff != "":
		return false, "fuse-overlayfs could keep its writes, but nothing can compare them for --diff"
	}
	program, without := f.server(b)
	if without != "" {
		return false, without
	}
	pl.cwd = CWDCopy
	pl.root.Work = fs.Mount{Source: f.dir, Target: WorkDir, Dir: true, Mode: fs.Served}
	pl.planServer([]fs.Lower{{Dir: f.dir}}, false, f, b)
	pl.note("the current directory is an overlay of %s, in a sandbox of its own: %s; %s", program, reason, why)
	return true, ""
}

// server is fuse-overlayfs, or why it cannot be used.
func (f *facts) server(b build) (program *fuseProgram, without string) {
	if b.noServer != "" {
		return nil, "fuse-overlayfs cannot do it: " + b.noServer
	}
	program, err := f.fuseOverlay()
	if err != nil {
		return nil, err.Error()
	}
	return program, ""
}

// layerDirs names the layers, the topmost first.
func layerDirs(lowers []fs.Lower) (dirs []string) {
	for i := len(lowers) - 1; i >= 0; i-- {
		l := &lowers[i]
		if len(l.Names) == 0 {
			dirs = append(dirs, l.Dir)
		}
		for _, name := range slices.Backward(l.Names) {
			dirs = append(dirs, l.Dir+"/"+name)
		}
	}
	return dirs
}

// bindRoot puts a root together without an overlay and without a copy of all of
// it: the directories of a single layer are bound read-only, where jailrun has
// nothing of its own to put and they lend the job nothing; the rest is copied.
func (pl *Plan) bindRoot(s *Spec, f *facts, b build, dirs []string, why, without string) error {
	refuse := func(why string) error {
		if without != "" {
			why += "; " + without
		}
		return fieldError("rootfs", s.Rootfs, "no overlay is possible here (%s), and %s; put the layers on ext4, xfs or btrfs", b.noOverlay, why)
	}
	if len(dirs) != 1 {
		return refuse(why)
	}
	list, err := os.ReadDir(dirs[0])
	if err != nil {
		return &FieldError{"rootfs", s.Rootfs, err}
	}
	bound := map[string]bool{"dev": true, "proc": true}
	for _, e := range list {
		if !e.IsDir() || fs.IsOurs(e.Name()) {
			continue
		}
		source := dirs[0] + "/" + e.Name()
		if lent, err := fs.Special(source, mostLooked); err != nil {
			return refuse("/" + e.Name() + " cannot be bound: " + err.Error())
		} else if lent != "" {
			return refuse(fmt.Sprintf("a bind of /%s would lend the job %q", e.Name(), lent))
		}
		bound[e.Name()] = true
		pl.addTree(fs.Mount{Source: source, Target: "/" + e.Name(), Dir: true, Mode: fs.Plain}, f)
	}
	fill, size, why := pl.filling(dirs, bound, f)
	if fill == nil {
		return refuse("of what is no directory to bind, " + why)
	}
	pl.root.Filled, pl.fillRoot = true, fill
	pl.note("the root is made of %d read-only binds and a copy in memory (%s): %s; %s", len(bound)-2, size, b.noOverlay, without)
	return nil
}

// addTree shows a directory or file of the host's, for root under the job's ids.
func (pl *Plan) addTree(m fs.Mount, f *facts) {
	if f.uid == 0 {
		m.Mapped, m.HasMapped = pl.Program.Slot("bind-tree"), true
		pl.mapped = append(pl.mapped, mappedTree{slot: m.Mapped, source: m.Source})
	}
	pl.root.Extra = append(pl.root.Extra, m)
}

// fillCWD makes the current directory a copy in memory, if it is small enough;
// else why is the reason.
func (pl *Plan) fillCWD(reason string, s *Spec, f *facts) (ok bool, why string) {
	if s.requires(RequireOverlay) {
		return false, "--require " + RequireOverlay + " refuses a copy"
	}
	fill, size, why := pl.filling([]string{f.dir}, nil, f)
	if fill == nil {
		return false, why
	}
	pl.cwd, pl.fillWork = CWDCopy, fill
	pl.root.Work = fs.Mount{Source: f.dir, Target: WorkDir, Dir: true, Mode: fs.Filled}
	pl.note("the current directory is a copy in memory (%s): %s", size, reason)
	return true, ""
}

// fills reports whether something is copied at the launch. Ahead of its job it
// would be old when that comes.
func (pl *Plan) fills() bool { return pl.fillRoot != nil || pl.fillWork != nil || pl.servers != nil }

var errNotAhead = errors.New("what is copied for want of an overlay cannot be prepared for a pool")

// fill copies what stands in for overlays, while init waits.
func (r *run) fill() error {
	pl := r.plan
	if err := r.fillOne(pl.fillRoot, "/", [2]uint32{}); err != nil {
		return err
	}
	if err := r.fillOne(pl.fillWork, WorkDir, pl.identity.job); err != nil {
		return err
	}
	if pl.fillWork != nil {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
			return os.NewSyscallError("clock_gettime", err)
		}
		r.filled = time.Unix(now.Unix())
	}
	return nil
}

func (r *run) fillOne(fill *transfer.Filling, target string, owner [2]uint32) error {
	if fill == nil {
		return nil
	}
	desk := &prog.Desk{Ctl: r.ctl}
	err := (&transfer.Writer{Desk: desk, Owner: owner}).Fill(r.ctx, fill, target)
	if err == nil {
		err = desk.Done()
	}
	return err
}
