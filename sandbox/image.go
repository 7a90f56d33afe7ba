package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/idmap"
)

// An imageSource is what Spec.Rootfs names, if that is no directory.
type imageSource struct {
	name   string // of an imported image; "" for a file
	prefix string // of Rootfs, with its colon
	path   string // of the layout or the archive, absolute
	file   string // what stands for it: the index of a layout, or path
	tag    string
}

// text is what jailrun-image takes.
func (i *imageSource) text() string {
	t := i.prefix + i.path
	if i.tag != "" {
		t += ":" + i.tag
	}
	return t
}

// imageSource tells a directory (nil), an image's name and the forms of files
// apart. A word without a slash is a name: a directory is written ./name.
func (s *Spec) imageSource(dir string) (*imageSource, error) {
	if s.composed() {
		return nil, nil
	}
	i := &imageSource{path: s.Rootfs}
	for _, prefix := range [...]string{"oci:", "docker-archive:", "tar:"} {
		if rest, ok := strings.CutPrefix(s.Rootfs, prefix); ok {
			i.prefix, i.path = prefix, rest
		}
	}
	named := i.prefix == "" && !strings.Contains(s.Rootfs, "/") && s.Rootfs != "." && s.Rootfs != ".."
	if named && !fs.IsTarName(s.Rootfs) {
		return &imageSource{name: s.Rootfs}, nil
	}
	if !filepath.IsAbs(i.path) {
		if dir == "" {
			return nil, fieldError("rootfs", s.Rootfs, "is relative, and there is no current directory")
		}
		i.path = filepath.Join(dir, i.path)
	}
	if i.prefix == "" || i.prefix == "tar:" {
		st, err := os.Stat(i.path)
		if i.prefix == "" && (err != nil || st.IsDir()) {
			return nil, nil //nolint:nilerr // a directory, or what is refused as one
		}
		i.file = i.path
		return i, nil
	}
	i.path, i.tag = fs.CutTag(i.path)
	i.file = i.path
	if i.prefix == "oci:" {
		i.file = filepath.Join(i.path, "index.json")
	}
	return i, nil
}

// An imageUse is an image that a run uses; nothing of it is removed from the
// store until fd is closed.
type imageUse struct {
	*fs.Image
	store fs.Store
	fd    int
}

func (u *imageUse) close() error {
	if u == nil {
		return nil
	}
	return unix.Close(u.fd)
}

// find takes hold of the image. id, if not "", is that of the image that has just
// been imported for it.
func (i *imageSource) find(f *facts, id string) (*imageUse, error) {
	if i.name == "" {
		if _, err := os.Stat(i.file); err != nil {
			return nil, err
		}
	}
	store, err := fs.OpenStore(fs.StateDir(f.uid, f.home), f.uid)
	if err == nil && id == "" {
		if i.name != "" {
			id, err = store.Named(i.name)
		} else {
			id, err = store.From(i.file, i.tag)
		}
	}
	if err != nil {
		return nil, err
	}
	use := &imageUse{store: store}
	if use.Image, use.fd, err = store.OpenImage(id); err != nil {
		return nil, err
	}
	if err = store.CheckLayers(use.Image); err != nil {
		return nil, errors.Join(err, use.close())
	}
	return use, nil
}

// hold takes hold of an image, which it has imported if it is a file that the
// store does not know.
func (c *Cmd) hold(ctx context.Context, i *imageSource, f *facts, mayImport bool) (*imageUse, error) {
	use, err := i.find(f, "")
	if !errors.Is(err, fs.ErrNotImported) || !mayImport || c.ImportImage == nil || i.name != "" {
		return use, err
	}
	id, err := c.ImportImage(ctx, i.text())
	if err != nil {
		return nil, err
	}
	return i.find(f, id)
}

// surveyWithImage surveys the host for the Spec and takes hold of its image and
// of its layers in tars.
func (c *Cmd) surveyWithImage(ctx context.Context, mayImport bool) (*facts, *Spec, error) {
	s := &c.Spec
	f, err := survey(s)
	if err != nil {
		return nil, s, err
	}
	src, err := s.imageSource(f.dir)
	if src != nil && err == nil {
		if f.image, err = c.hold(ctx, src, f, mayImport); err != nil {
			err = &FieldError{"rootfs", s.Rootfs, err}
		}
	}
	if err == nil {
		s = s.withImage(f.image)
		err = c.checkWithImage(ctx, s, f, mayImport)
	}
	if err != nil {
		return nil, s, errors.Join(err, f.closeImages())
	}
	return f, s, nil
}

// checkWithImage checks what the image adds, and takes hold of the layers.
func (c *Cmd) checkWithImage(ctx context.Context, s *Spec, f *facts, mayImport bool) error {
	if err := s.checkImage(f.image); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if len(s.Args) == 0 {
		return fieldError("command", "", "no program given, and %s names none", s.Rootfs)
	}
	return c.holdLayers(ctx, s, f, mayImport)
}

// checkImage checks what the image itself asks for, so that it is not blamed on
// a flag that nobody gave.
func (s *Spec) checkImage(i *imageUse) error {
	if i == nil {
		return nil
	}
	if i.User != "" && s.User == i.User {
		if _, err := idmap.ParseUser(i.User); err != nil {
			return fieldError("rootfs", s.Rootfs, "its user %q is no number, and does not stand in its /etc/passwd and /etc/group: choose one with --user UID[:GID]", i.User)
		}
	}
	if i.Workdir != "" && s.Workdir == i.Workdir {
		if _, ok := fs.Clean(i.Workdir); !ok && i.Workdir != "/" {
			return fieldError("rootfs", s.Rootfs, "its working directory %q lies in /proc or /dev: choose one with --workdir", i.Workdir)
		}
	}
	return nil
}

// holdLayers takes hold of the tars among Layers.
func (c *Cmd) holdLayers(ctx context.Context, s *Spec, f *facts, mayImport bool) error {
	f.layers = make([]*imageUse, len(s.Layers))
	for n, name := range s.Layers {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(f.dir, path)
		}
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue // a directory, or refused as one
		}
		use, err := c.hold(ctx, &imageSource{prefix: "tar:", path: path, file: path}, f, mayImport)
		if err != nil {
			return &FieldError{"layer", name, err}
		}
		if f.layers[n] = use; use.Over == "" {
			return fieldError("layer", name, "is no tar of one layer, or deletes files of the layers below and the file system of %s cannot keep that: ext4, xfs and btrfs can (XDG_STATE_HOME)", use.store.Dir)
		}
	}
	return nil
}

// layer is what was imported for the nth of Layers; nil for a directory.
func (f *facts) layer(n int) *imageUse {
	if n < len(f.layers) {
		return f.layers[n]
	}
	return nil
}

// closeImages gives up the image and the layers.
func (f *facts) closeImages() error {
	err := f.image.close()
	for _, l := range f.layers {
		err = errors.Join(err, l.close())
	}
	f.image, f.layers = nil, nil
	return err
}

// withImage returns the Spec with what the image asks for in the place of the
// defaults.
func (s *Spec) withImage(i *imageUse) *Spec {
	if i == nil {
		return s
	}
	x := *s
	if len(x.Args) == 0 {
		x.Args = slices.Concat(i.Entrypoint, i.Cmd)
	}
	if x.Env == nil {
		x.Env, x.AddEnv = mergeEnv(DefaultEnv(), i.Env, x.AddEnv), nil
	}
	if x.User == "" {
		x.User = i.User
	}
	// Who chooses how the current directory is seen wants to be there.
	if x.Workdir == "" && x.CWD == CWDAuto {
		x.Workdir = i.Workdir
	}
	return &x
}

// mergeEnv joins environments; of variables of one name the last stands, in the
// place of the first.
func mergeEnv(lists ...[]string) []string {
	var env []string
	at := map[string]int{}
	for _, kv := range slices.Concat(lists...) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			env[i] = kv
			continue
		}
		at[name] = len(env)
		env = append(env, kv)
	}
	return env
}

// addImage puts the layers of the image under all others.
func (pl *Plan) addImage(s *Spec, f *facts) {
	pl.root.Lowers = append(pl.root.Lowers, fs.Lower{Dir: f.image.store.Layers(), Names: f.image.Layers})
	if s.Workdir == f.image.Workdir {
		pl.root.Workdir = s.Workdir
	}
}

// ImageID is the id of the image that Rootfs names, "" if it names none: what
// stands for the content of the root. Of an image that is not imported the error
// wraps [fs.ErrNotImported].
func (s *Spec) ImageID() (string, error) {
	if s.composed() {
		return "", nil
	}
	f := &facts{uid: os.Geteuid()}
	f.dir, _ = currentDir(s.Dir) // a relative name without one is told by imageSource
	f.home = homeOf(f.uid)
	src, err := s.imageSource(f.dir)
	if src == nil || err != nil {
		return "", err
	}
	use, err := src.find(f, "")
	if err != nil {
		return "", &FieldError{"rootfs", s.Rootfs, err}
	}
	return use.ID, use.close()
}
