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

// findImage takes hold of the image that Rootfs names, if it names one. id, if
// not "", is that of the image that has just been imported for it.
func (s *Spec) findImage(f *facts, id string) (*imageUse, error) {
	src, err := s.imageSource(f.dir)
	if src == nil || err != nil {
		return nil, err
	}
	if src.name == "" {
		if _, err := os.Stat(src.file); err != nil {
			return nil, &FieldError{"rootfs", s.Rootfs, err}
		}
	}
	store, err := fs.OpenStore(fs.StateDir(f.uid, f.home), f.uid)
	if err == nil && id == "" {
		if src.name != "" {
			id, err = store.Named(src.name)
		} else {
			id, err = store.From(src.file, src.tag)
		}
	}
	var use *imageUse
	if err == nil {
		use = &imageUse{store: store}
		if use.Image, use.fd, err = store.OpenImage(id); err == nil {
			if err = store.CheckLayers(use.Image); err != nil {
				err = errors.Join(err, use.close())
			}
		}
	}
	if err != nil {
		return nil, &FieldError{"rootfs", s.Rootfs, err}
	}
	return use, nil
}

// surveyWithImage surveys the host for the Spec and takes hold of its image,
// which it has imported if it is a file that the store does not know.
func (c *Cmd) surveyWithImage(ctx context.Context, mayImport bool) (*facts, *Spec, error) {
	s := &c.Spec
	f, err := survey(s)
	if err != nil {
		return nil, s, err
	}
	f.image, err = s.findImage(f, "")
	if errors.Is(err, fs.ErrNotImported) && mayImport && c.ImportImage != nil {
		if src, _ := s.imageSource(f.dir); src.name == "" {
			id, ierr := c.ImportImage(ctx, src.text())
			if ierr != nil {
				return nil, s, &FieldError{"rootfs", s.Rootfs, ierr}
			}
			f.image, err = s.findImage(f, id)
		}
	}
	if err != nil {
		return nil, s, err
	}
	s = s.withImage(f.image)
	if err := s.check(); err != nil {
		return nil, s, errors.Join(err, f.image.close())
	}
	if len(s.Args) == 0 {
		return nil, s, errors.Join(fieldError("command", "", "no program given, and %s names none", s.Rootfs), f.image.close())
	}
	return f, s, nil
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
	f.dir, _ = currentDir(s.Dir) // a relative name without one is told by findImage
	f.home = homeOf(f.uid)
	use, err := s.findImage(f, "")
	if use == nil || err != nil {
		return "", err
	}
	return use.ID, use.close()
}
