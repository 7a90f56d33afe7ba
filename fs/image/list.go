package image

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
)

// An Entry is an image of the store.
type Entry struct {
	ID      string   `json:"id"`
	Names   []string `json:"names"`
	Sources []string `json:"sources"` // files that it came out of and that are as they were
	Layers  int      `json:"layers"`
	Bytes   int64    `json:"bytes"` // of the files of all layers, also of those it shares
	InUse   bool     `json:"in_use"`
}

// List returns the images of the store, ordered by name and id. Of a damaged one
// it returns what is known, and an error besides.
func (s *Store) List() ([]Entry, error) {
	kept, err := s.references()
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(s.Dir + "/images")
	if err != nil {
		return nil, err
	}
	var list []Entry
	var errs []error
	for _, f := range files {
		e := Entry{ID: "sha256:" + f.Name(), Names: []string{}, Sources: []string{}}
		if r := kept[e.ID]; r != nil {
			e.Names, e.Sources = append(e.Names, r.names...), append(e.Sources, r.sources...)
		}
		if err := s.describe(&e); err != nil {
			errs = append(errs, fmt.Errorf("image %s: %w", e.ID, err))
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return strings.Compare(strings.Join(a.Names, " ")+"\x00"+a.ID, strings.Join(b.Names, " ")+"\x00"+b.ID)
	})
	return list, errors.Join(errs...)
}

func (s *Store) describe(e *Entry) error {
	m, fd, err := s.OpenImage(e.ID)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	e.Layers = len(m.Layers)
	e.InUse = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil
	for _, l := range m.Layers {
		meta, err := s.layerMeta(l)
		if err != nil {
			return err
		}
		e.Bytes += meta.bytes
	}
	return nil
}

// refs is what keeps an image.
type refs struct{ names, sources []string }

// references finds the images that have a name, or whose source is as it was
// when they were imported.
func (s *Store) references() (map[string]*refs, error) {
	kept := map[string]*refs{}
	of := func(id string) *refs {
		if kept[id] == nil {
			kept[id] = &refs{}
		}
		return kept[id]
	}
	names, err := os.ReadDir(s.Dir + "/names")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		b, err := os.ReadFile(s.Dir + "/names/" + n.Name())
		if err != nil {
			return nil, err
		}
		r := of(strings.TrimSuffix(string(b), "\n"))
		r.names = append(r.names, n.Name())
	}
	sources, err := os.ReadDir(s.Dir + "/sources")
	if err != nil {
		return nil, err
	}
	for _, f := range sources {
		b, err := os.ReadFile(s.Dir + "/sources/" + f.Name())
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			id, tag, file, ok := parseSource(line)
			var st unix.Stat_t
			if ok && unix.Stat(file, &st) == nil && jfs.SourceKey(&st) == f.Name() {
				if tag != "" {
					file += ":" + tag
				}
				r := of(id)
				r.sources = append(r.sources, file)
			}
		}
	}
	return kept, nil
}

// Remove takes a name away, or all names and sources of an image given by its
// id, or at least 12 digits of it. What nothing refers to is removed by
// [Store.Collect].
func (s *Store) Remove(name string) error {
	held, err := s.shared()
	if err != nil {
		return err
	}
	defer held.release()
	id, err := s.Named(name)
	if err == nil {
		if err = os.Remove(s.Dir + "/names/" + name); errors.Is(err, os.ErrNotExist) {
			err = os.Remove(s.Dir + "/names/" + name + ":latest")
		}
		if err != nil {
			return err
		}
		kept, err := s.references()
		if r := kept[id]; err != nil || r == nil || len(r.names) > 0 {
			return err
		}
		return s.dropSources(id)
	}
	if !errors.Is(err, jfs.ErrNotImported) {
		return err
	}
	if id, err = s.byDigits(name); err != nil {
		return err
	}
	kept, err := s.references()
	if err != nil {
		return err
	}
	if r := kept[id]; r != nil {
		for _, n := range r.names {
			if err := os.Remove(s.Dir + "/names/" + n); err != nil {
				return err
			}
		}
	}
	return s.dropSources(id)
}

// byDigits finds the one image whose id begins so.
func (s *Store) byDigits(digits string) (string, error) {
	hex := strings.TrimPrefix(digits, "sha256:")
	files, err := os.ReadDir(s.Dir + "/images")
	if err != nil {
		return "", err
	}
	var found []string
	for _, f := range files {
		if len(hex) >= 12 && strings.HasPrefix(f.Name(), hex) {
			found = append(found, "sha256:"+f.Name())
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("%w: %q", ErrNoImage, digits)
	}
	return "", fmt.Errorf("%q: %d images begin so", digits, len(found))
}

// dropSources forgets which files an image came out of.
func (s *Store) dropSources(id string) error {
	return s.eachSource(func(_ string, line string) bool {
		own, _, _ := strings.Cut(line, " ")
		return own != id
	})
}

// eachSource keeps of all files of sources the lines that keep wants.
func (s *Store) eachSource(keep func(key, line string) bool) error {
	files, err := os.ReadDir(s.Dir + "/sources")
	if err != nil {
		return err
	}
	for _, f := range files {
		path := s.Dir + "/sources/" + f.Name()
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var text []byte
		for line := range strings.Lines(string(b)) {
			if keep(f.Name(), line) {
				text = append(text, line...)
			}
		}
		switch {
		case len(text) == len(b):
		case len(text) == 0:
			err = os.Remove(path)
		default:
			err = s.writeFile("sources/"+f.Name(), text, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
