package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
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
	over := ""
	switch {
	case config == nil:
		config, layers, over, err = i.plainTar()
	case i.store.flat:
		layers, err = i.flatten(config)
	default:
		layers, err = i.layers(config)
	}
	if err != nil {
		return nil, err
	}
	return &i.got, i.store.writeImage(i.got.ID, layers, over, config)
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
	case c.OS != "" && c.OS != "linux", c.Architecture != "" && c.Architecture != runtime.GOARCH:
		return nil, fmt.Errorf("configuration: the image is for %s/%s, and this machine is linux/%s", c.OS, c.Architecture, runtime.GOARCH)
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
	hides := map[string]int{}
	for n, b := range i.found.layers {
		diffID := c.RootFS.DiffIDs[n].String()
		m, fresh, err := i.store.layer(i.ctx, b, diffID, i.budget, i.tick(n))
		if err != nil {
			return nil, i.layerError(n, err)
		}
		i.count(m, fresh)
		i.tell(n, 0, map[bool]State{true: Done, false: Present}[fresh])
		if m.bottom {
			names = names[:0]
		}
		name := jfs.LayerName(diffID)
		names, hides[name] = append(names, name), m.hides
	}
	names = jfs.WithoutRepeats(names)
	if hides[names[0]] > 0 {
		// An overlay lists the whiteouts of its lowest layer as names that
		// nobody can open. The layer may be a higher one of another image.
		return i.flatten(c)
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
func (i *importing) flatten(c *v1.ConfigFile) ([]string, error) {
	s, name := i.store, jfs.LayerName(i.got.ID)
	i.got.Flat = true
	i.got.Bytes, i.got.Skipped, i.got.LeftOut = 0, 0, nil // counted as layers, some may be
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
	err = i.flattenIn(work, name, c)
	return []string{name}, errors.Join(err, s.removeWork(work))
}

func (i *importing) flattenIn(work lock, name string, c *v1.ConfigFile) error {
	// Of the same files some may have been charged as a layer.
	p, err := i.store.beginUnpacking(work, i.budget.again(), true)
	if err != nil {
		return err
	}
	defer p.close()
	for n, b := range i.found.layers {
		p.u.tree.nextLayer()
		if _, err := p.add(i.ctx, b, c.RootFS.DiffIDs[n].String(), i.tick(n)); err != nil {
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
