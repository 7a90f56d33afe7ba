package image

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
)

// Options of an import. The zero value gives the image the name that its source
// has for it and reports nothing.
type Options struct {
	// Name is the image's name in the store; an older image of that name loses
	// it. "" means that of the source. "-" gives it none.
	Name string
	// Progress, if set, is called on any goroutine, by one at a time.
	Progress func(Progress)
}

// Progress tells how far an import is.
type Progress struct {
	Layer string // digest of the layer's file or tar
	Index int    // of the layer, from 1 at the bottom
	Of    int
	Bytes int64 // of the file read so far
	Size  int64 // of the file; -1 if not known
	State State
}

// State is what becomes of a layer.
type State uint8

// The states, in their order.
const (
	Reading State = iota
	Present       // the store had it
	Done
)

// An Imported image is in the store.
type Imported struct {
	ID      string // digest of its configuration
	Name    string // "" for none
	Layers  int
	Fresh   int   // layers that the store did not have
	Bytes   int64 // of the files of all layers
	Skipped int   // device nodes that were left out
	LeftOut []string
	Flat    bool // in one directory, because layers cannot be kept apart here
}

// Import brings an image into the store, or only gives it a name if it is there.
// What goes wrong in the image is an *[Error]; the store is then as it was.
func (s *Store) Import(ctx context.Context, src Source, o Options) (got *Imported, err error) {
	if o.Name != "" && o.Name != "-" && !jfs.IsImageName(o.Name) {
		return nil, fmt.Errorf("name %q: want letters, digits and . _ - :, at most 200", o.Name)
	}
	held, err := s.shared()
	if err != nil {
		return nil, err
	}
	defer held.release()
	if err := s.sweep(); err != nil {
		return nil, err
	}
	key, err := src.key()
	if err != nil {
		return nil, err
	}
	if got, err := s.knownAs(src, o, key); got != nil || err != nil {
		return got, err
	}
	if key != "" {
		// Of several imports of one file one unpacks, and the others find it: what
		// is in a tar, or in a compressed archive, nobody knows before that.
		work, err := s.workDir("from-" + key)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.removeWork(work)) }()
		if got, err := s.knownAs(src, o, key); got != nil || err != nil {
			return got, err
		}
	}
	return s.unknown(ctx, src, o, key)
}

// knownAs is known, with the name that is asked for.
func (s *Store) knownAs(src Source, o Options, key string) (*Imported, error) {
	got, err := s.known(src)
	if got == nil || err != nil {
		return nil, err
	}
	i := &importing{src: src, found: &found{tag: got.Name}}
	got.Name = i.name(o)
	return got, s.register(got, src, key)
}

// unknown imports what the store may not have.
func (s *Store) unknown(ctx context.Context, src Source, o Options, key string) (*Imported, error) {
	bud, err := s.budget()
	if err != nil {
		return nil, err
	}
	f, err := s.find(ctx, src, bud.limits.Bytes)
	if err != nil {
		return nil, &Error{Image: src.String(), Err: err}
	}
	i := &importing{store: s, ctx: ctx, src: src, found: f, budget: bud, progress: o.Progress}
	got, err := i.run()
	err = errors.Join(err, f.close())
	if err != nil {
		return nil, err
	}
	got.Name = i.name(o)
	return got, s.register(got, src, key)
}

// known is the image of a source that is as it was when it was imported, or nil.
// Its Name is that of the first name it has.
func (s *Store) known(src Source) (*Imported, error) {
	if src.file() == "" {
		return nil, nil
	}
	id, err := s.From(src.file(), src.Tag)
	if err != nil {
		return nil, nil //nolint:nilerr // the import itself says what is wrong with the file
	}
	m, fd, err := s.OpenImage(id)
	if err != nil {
		return nil, nil //nolint:nilerr // imported again, which mends it
	}
	unix.Close(fd)
	got := &Imported{ID: id, Layers: len(m.Layers)}
	for _, l := range m.Layers {
		meta, err := s.layerMeta(l)
		if err != nil || s.CheckLayers(m) != nil {
			return nil, nil //nolint:nilerr // as above
		}
		got.Bytes += meta.bytes
	}
	kept, err := s.references()
	if err != nil {
		return nil, err
	}
	if r := kept[id]; r != nil && len(r.names) > 0 {
		got.Name = r.names[0]
	}
	return got, nil
}

// key is taken before the source is read: a change during the import makes it
// another source.
func (s Source) key() (string, error) {
	if s.file() == "" {
		return "", nil
	}
	var st unix.Stat_t
	if err := unix.Stat(s.file(), &st); err != nil {
		if s.Kind == Layout && errors.Is(err, unix.ENOENT) {
			return "", nil // readLayout says it better
		}
		if s.Kind == Layout && errors.Is(err, unix.ENOTDIR) {
			return "", &Error{Image: s.String(), Err: fmt.Errorf("%w: it is a file, and an OCI layout is a directory; a tar of one is named docker-archive:FILE", ErrFormat)}
		}
		return "", &os.PathError{Op: "open", Path: s.file(), Err: err}
	}
	return jfs.SourceKey(&st), nil
}

func (s *Store) find(ctx context.Context, src Source, most int64) (*found, error) {
	switch src.Kind {
	case Layout:
		return openLayout(src.Path, src.Tag)
	case Archive:
		return openArchive(ctx, src.Path, src.Tag, s.Dir+"/tmp", most)
	case Registry:
		return openRegistry(ctx, src.Path)
	}
	return openTar(src.Path)
}

// register makes an image known by name and by its source.
func (s *Store) register(got *Imported, src Source, key string) error {
	if got.Name != "" {
		if err := s.writeFile("names/"+got.Name, []byte(got.ID+"\n"), false); err != nil {
			return err
		}
	}
	if key == "" {
		return nil
	}
	return s.addSource(key, src, got.ID)
}
