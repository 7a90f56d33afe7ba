package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	jfs "github.com/jailrun/jailrun/fs"
)

// importing is one import on its way.
type importing struct {
	store    *Store
	ctx      context.Context
	src      Source
	found    *found
	budget   *budget
	progress func(Progress)
	lock     sync.Mutex
	got      Imported
}

func (i *importing) name(o Options) string {
	switch {
	case o.Name == "-":
		return ""
	case o.Name != "":
		return o.Name
	}
	src := i.src
	if src.Tag == "" {
		src.Tag = i.found.tag
	}
	return src.defaultName()
}

func (i *importing) run() (*Imported, error) {
	config, err := i.config()
	if err != nil {
		return nil, &Error{Image: i.src.String(), Err: err}
	}
	i.got.Layers = len(i.found.layers)
	var layers []string
	switch {
	case config == nil:
		config, layers, err = i.plainTar()
	case i.store.flat:
		layers, err = i.flatten(config)
	default:
		layers, err = i.layers(config)
	}
	if err != nil {
		return nil, err
	}
	return &i.got, i.store.writeImage(i.got.ID, layers, config)
}

// config checks the configuration against the layers. It is nil for a plain tar.
func (i *importing) config() (*v1.ConfigFile, error) {
	if i.found.config == nil {
		return nil, nil
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(i.found.config))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w: %w", ErrFormat, err)
	}
	n := len(i.found.layers)
	switch {
	case n == 0:
		return nil, fmt.Errorf("%w: it has no layers", ErrFormat)
	case n > jfs.MaxLayers:
		return nil, fmt.Errorf("%w: it has %d layers of %d", ErrTooLarge, n, jfs.MaxLayers)
	case n != len(c.RootFS.DiffIDs):
		return nil, fmt.Errorf("configuration: %w: it speaks of %d layers, and there are %d", ErrFormat, len(c.RootFS.DiffIDs), n)
	}
	for _, d := range c.RootFS.DiffIDs {
		if !jfs.IsDigest(d.String()) {
			return nil, fmt.Errorf("configuration: %w: %q is no SHA-256 digest", ErrFormat, d)
		}
	}
	sum := sha256.Sum256(i.found.config)
	i.got.ID = v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum)}.String()
	return c, nil
}

// layers makes sure of each layer, from the bottom up.
func (i *importing) layers(c *v1.ConfigFile) ([]string, error) {
	names := make([]string, 0, len(i.found.layers))
	for n, b := range i.found.layers {
		diffID := c.RootFS.DiffIDs[n].String()
		m, fresh, err := i.store.layer(i.ctx, b, diffID, i.budget, i.tick(n))
		if err != nil {
			return nil, i.layerError(n, err)
		}
		if n == 0 && m.hides > 0 {
			// An overlay lists the whiteouts of its lowest layer as names that
			// nobody can open. The layer may be a higher one of another image.
			return i.flatten(c)
		}
		i.count(m, fresh)
		i.tell(n, 0, map[bool]State{true: Done, false: Present}[fresh])
		names = append(names, jfs.LayerName(diffID))
	}
	return names, nil
}

func (i *importing) count(m *layerMeta, fresh bool) {
	if fresh {
		i.got.Fresh++
	}
	i.got.Bytes += m.bytes
	i.got.Skipped += m.skipped
	i.got.LeftOut = append(i.got.LeftOut, m.leftOut...)
}

// flatten unpacks all layers into one directory, which stands under the id of
// the image.
func (i *importing) flatten(*v1.ConfigFile) ([]string, error) {
	s, name := i.store, jfs.LayerName(i.got.ID)
	i.got.Flat = true
	if m, ok, err := s.have(name, i.got.ID); ok || err != nil {
		if ok {
			i.count(m, false)
		}
		return []string{name}, err
	}
	work, err := s.workDir(name)
	if err != nil {
		return nil, err
	}
	err = i.flattenIn(work, name)
	return []string{name}, errors.Join(err, s.removeWork(work))
}

func (i *importing) flattenIn(work lock, name string) error {
	p, err := i.store.beginUnpacking(work, i.budget, true)
	if err != nil {
		return err
	}
	defer p.close()
	config, err := i.config()
	if err != nil {
		return err
	}
	for n, b := range i.found.layers {
		p.u.tree.nextLayer()
		if _, err := p.add(i.ctx, b, config.RootFS.DiffIDs[n].String(), i.tick(n)); err != nil {
			return i.layerError(n, err)
		}
		i.tell(n, 0, Done)
	}
	m, err := p.publish(name, i.got.ID)
	if err == nil {
		i.count(m, false)
		i.got.Fresh = len(i.found.layers)
	}
	return err
}

// plainTar unpacks a tar whose digest is known only when it has been read, and
// makes the configuration of an image of one layer.
func (i *importing) plainTar() (*v1.ConfigFile, []string, error) {
	s := i.store
	work, err := s.newWorkDir()
	if err != nil {
		return nil, nil, err
	}
	diffID, err := i.plainTarIn(work)
	if err = errors.Join(err, s.removeWork(work)); err != nil {
		return nil, nil, err
	}
	h, err := v1.NewHash(diffID)
	if err != nil {
		return nil, nil, err
	}
	config := &v1.ConfigFile{OS: "linux", RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{h}}}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(text)
	i.got.ID = fmt.Sprintf("sha256:%x", sum)
	return config, []string{jfs.LayerName(diffID)}, nil
}

func (i *importing) plainTarIn(work lock) (string, error) {
	p, err := i.store.beginUnpacking(work, i.budget, i.store.flat)
	if err != nil {
		return "", err
	}
	defer p.close()
	diffID, err := p.add(i.ctx, i.found.layers[0], "", i.tick(0))
	if err != nil {
		return "", i.layerError(0, err)
	}
	name := jfs.LayerName(diffID)
	m, ok, err := i.store.have(name, diffID)
	if err == nil && !ok {
		var l lock
		if l, err = i.store.workDir(name); err != nil {
			return "", err
		}
		// Another import of the same layer may have been under way.
		if m, ok, err = i.store.have(name, diffID); err == nil && !ok {
			m, err = p.publish(name, diffID)
		}
		err = errors.Join(err, i.store.removeWork(l))
	}
	if err != nil {
		return "", err
	}
	i.count(m, !ok)
	i.tell(0, 0, Done)
	return diffID, nil
}

func (i *importing) layerError(n int, err error) error {
	b := i.found.layers[n]
	e := &Error{Image: i.src.String(), Layer: b.digest, Index: n + 1, Of: len(i.found.layers), Err: err}
	if e.Layer == "" {
		e.Layer = "tar"
		if c, cerr := i.config(); cerr == nil && c != nil {
			e.Layer = c.RootFS.DiffIDs[n].String()
		}
	}
	if entry, ok := errors.AsType[*entryError](err); ok {
		e.Entry, e.Err = entry.name, entry.err
	}
	return e
}

// tick returns what a stream tells of the bytes it has read.
func (i *importing) tick(n int) func(int) {
	if i.progress == nil {
		return nil
	}
	var sum int64
	return func(more int) {
		sum += int64(more)
		i.tell(n, sum, Reading)
	}
}

func (i *importing) tell(n int, bytes int64, state State) {
	if i.progress == nil {
		return
	}
	i.lock.Lock()
	defer i.lock.Unlock()
	b := i.found.layers[n]
	i.progress(Progress{Layer: b.digest, Index: n + 1, Of: len(i.found.layers), Bytes: bytes, Size: b.size, State: state})
}
