package sandbox

import (
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/limits"
)

// maxLayers is how many directories can be stacked: overlay takes 500 layers,
// of which the init layer is one.
const maxLayers = 498

// resolveLayers finds what the root is made of, if not of the host's own
// directories.
func (pl *Plan) resolveLayers(s *Spec, f *facts, b build) error {
	if s.composed() {
		return nil
	}
	if len(s.Layers) > maxLayers {
		return fieldError("layer", s.Layers[maxLayers], "is one too many: overlay stacks at most %d over a root", maxLayers)
	}
	pl.root.Of = s.Rootfs
	if f.image != nil {
		pl.addImage(s, f)
	} else if err := pl.addLayer("rootfs", s.Rootfs, f); err != nil {
		return err
	}
	for n, dir := range s.Layers {
		if use := f.layer(n); use != nil {
			pl.root.Lowers = append(pl.root.Lowers, fs.Lower{Dir: use.store.Layers() + "/" + use.Over})
		} else if err := pl.addLayer("layer", dir, f); err != nil {
			return err
		}
	}
	pl.root.Lowers = withoutRepeats(pl.root.Lowers)
	if err := pl.resolveFilled(s, f, b); err != nil || pl.root.Filled || pl.root.Served {
		return err
	}
	pl.mapLowers(f)
	return pl.resolveUpper(s, f)
}

// withoutRepeats leaves only the topmost of layers that are one directory: see
// [fs.WithoutRepeats].
func withoutRepeats(lowers []fs.Lower) []fs.Lower {
	if len(lowers) < 2 {
		return lowers
	}
	seen := map[string]bool{}
	var kept []fs.Lower
	for _, l := range slices.Backward(lowers) {
		dir := l.Dir
		if len(l.Names) > 0 {
			// None of an image is twice in it.
			l.Names = slices.DeleteFunc(slices.Clone(l.Names), func(name string) bool { return seen[l.Dir+"/"+name] })
			if len(l.Names) == 0 {
				continue
			}
		} else if seen[dir] {
			continue
		}
		seen[dir] = true
		kept = append(kept, l)
	}
	slices.Reverse(kept)
	return kept
}

// addLayer puts a directory on top of the layers.
func (pl *Plan) addLayer(field, name string, f *facts) error {
	dir, err := directory(field, name, f)
	if err != nil {
		return err
	}
	pl.root.Lowers = append(pl.root.Lowers, fs.Lower{Dir: dir})
	return nil
}

// mapLowers has the layers, for root, shown under the job's ids.
func (pl *Plan) mapLowers(f *facts) {
	if f.uid != 0 {
		return
	}
	for i := range pl.root.Lowers {
		l := &pl.root.Lowers[i]
		l.Mapped, l.HasMapped = pl.Program.Slot("root-tree"), true
		pl.mapped = append(pl.mapped, mappedTree{slot: l.Mapped, source: l.Dir, lower: true})
	}
}

// users finds what the layers say of users, the topmost that does.
func (pl *Plan) users(f *facts) (u fs.Users) {
	var dirs []string // without those of an image, whose import has looked
	for i := range slices.Backward(pl.root.Lowers) {
		l := &pl.root.Lowers[i]
		var st unix.Stat_t
		if len(l.Names) == 0 && unix.Lstat(l.Dir+"/etc", &st) == nil { // most layers have none
			dirs = append(dirs, l.Dir)
		}
	}
	of := fs.Users{}
	if f.image != nil {
		of = f.image.Users
	}
	for _, x := range [2]struct {
		name       string
		to, before *string
	}{{"etc/passwd", &u.Passwd, &of.Passwd}, {"etc/group", &u.Group, &of.Group}} {
		text, found, err := fs.TopFile(dirs, x.name, fs.MostUsers+1)
		if err != nil || !found {
			text = *x.before
		}
		*x.to = text
	}
	return u
}

// directory resolves the name of a directory outside, once: later it must be
// found without a symbolic link.
func directory(field, name string, f *facts) (string, error) {
	dir := name
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(f.dir, dir)
	}
	dir, st, err := realPath(dir)
	switch {
	case err != nil:
		return "", &FieldError{field, name, err}
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return "", fieldError(field, name, "is not a directory")
	}
	return dir, nil
}

// resolveUpper decides where what is written to a root of layers goes.
func (pl *Plan) resolveUpper(s *Spec, f *facts) error {
	if s.Upper == "" {
		if !f.userXattr && !s.ReadOnlyRoot {
			// Without user attributes the overlay mounts, and then rm -rf of a
			// lower directory is EIO. Nothing of the kind happens read-only.
			pl.root.ReadOnly = true
			pl.note("the root is read-only: %s (writable: --upper DIR on ext4, xfs or btrfs, or the package fuse-overlayfs)", noXattr)
		}
		return nil
	}
	if f.uid == 0 && pl.identity.job != [2]uint32{} {
		return fieldError("upper", s.Upper, "as root it is kept under its owner's id, which only the job's uid 0 is: leave out --user")
	}
	dir, err := upperDir(s.Upper, f)
	if err != nil {
		return err
	}
	for _, l := range pl.root.Lowers {
		if within(dir, l.Dir) || within(l.Dir, filepath.Join(dir, "work")) || l.Dir == dir {
			return fieldError("upper", s.Upper, "and the layer %s lie in each other", l.Dir)
		}
		if l.Dir == filepath.Join(dir, "upper") {
			return fieldError("upper", s.Upper, "is a layer as well: it is written to while it is read")
		}
	}
	pl.root.Upper = fs.UpperDir{Dir: dir}
	if f.uid == 0 {
		u := &pl.root.Upper
		u.Mapped, u.HasMapped = pl.Program.Slot("upper-tree"), true
		pl.mapped = append(pl.mapped, mappedTree{slot: u.Mapped, source: dir})
	}
	return nil
}

// A copyIn is a resolved CopyIn.
type copyIn struct{ source, target string }

func (pl *Plan) resolveCopyIn(s *Spec, f *facts) error {
	for _, c := range s.CopyIn {
		src := c.Source
		if !filepath.IsAbs(src) {
			if f.dir == "" {
				return &FieldError{"copy-in", c.Source, f.dirErr}
			}
			src = filepath.Join(f.dir, src)
		}
		src, _, err := realPath(src)
		if err != nil {
			return &FieldError{"copy-in", c.Source, err}
		}
		target, _ := fs.Clean(c.Target)
		if strings.HasSuffix(c.Target, "/") {
			target += "/" + filepath.Base(src)
		}
		if pl.root.IsHosts(target) {
			return fieldError("copy-in", c.Source, "%s is in a directory of the host's that is writable; copy it there yourself", target)
		}
		pl.copyIn = append(pl.copyIn, copyIn{src, target})
	}
	return nil
}

// upperDir resolves the name of a directory that may not exist yet.
func upperDir(name string, f *facts) (string, error) {
	dir, err := directory("upper", name, f)
	if err == nil || !errors.Is(err, iofs.ErrNotExist) {
		return dir, err
	}
	parent, err := directory("upper", filepath.Dir(filepath.Clean(name)), f)
	return filepath.Join(parent, filepath.Base(name)), err
}

// prepareUpper makes the directory of a kept writable layer, if it does not
// exist, and takes it for this run.
func (r *run) prepareUpper() error {
	name := r.cmd.Upper
	if name == "" || r.cmd.composed() {
		return nil
	}
	dir, err := upperDir(name, r.facts)
	if err == nil {
		err = unix.Mkdir(dir, 0o755)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return &FieldError{"upper", name, err}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &FieldError{"upper", name, err}
	}
	r.upperLock = os.NewFile(uintptr(fd), dir)
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fieldError("upper", name, "is in use by another run")
	}
	for _, sub := range [...]string{"upper", "work"} {
		if err == nil {
			err = makeOwned(fd, sub)
		}
	}
	if err != nil {
		return &FieldError{"upper", name, err}
	}
	return nil
}

// upperSize is how large the kept layer can become: the size of its file system,
// or what a project quota leaves of that, which statfs(2) shows in a directory
// whose files inherit the project (ext4, xfs).
func (r *run) upperSize() limits.Size {
	var st unix.Statfs_t
	if r.upperLock == nil || unix.Fstatfs(int(r.upperLock.Fd()), &st) != nil {
		return 0
	}
	return limits.Size(st.Blocks) * limits.Size(st.Bsize)
}

// makeOwned makes a directory in dir for dir's own owner, if it does not exist,
// and tries whether an overlay can keep its marks there.
func makeOwned(dir int, name string) error {
	err := unix.Mkdirat(dir, name, 0o755)
	made := err == nil
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	if !made {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return os.NewSyscallError("fchown", err)
	}
	const probe = "user.overlay.probe"
	err = unix.Fsetxattr(fd, probe, []byte("y"), 0)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_ = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
		return errors.New("its file system keeps no user attributes, which a writable layer needs: use ext4, xfs, btrfs, or a tmpfs since Linux 6.6")
	}
	if err == nil {
		err = unix.Fremovexattr(fd, probe)
	}
	return os.NewSyscallError("fsetxattr", err)
}
