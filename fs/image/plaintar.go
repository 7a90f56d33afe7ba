package image

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
)

// A tar by itself is a layer as the OCI image specification has them, so that
// what a job has exported can be a root and a layer over another root alike:
// .wh.NAME deletes NAME of the layers below, and in a root, where nothing is
// below, it is nothing, neither a file nor a deletion.
//
// Decision: not taking .wh.NAME for a file of that name in a root, as tar(1)
// does. Docker's import takes it for a deletion too, a root with such names is
// the product of a mistake, and a tar would otherwise mean two things.

// plainTar unpacks a tar whose digest is known only when it has been read, and
// makes the configuration of an image of one layer. over is the layer as it lies
// over others.
func (i *importing) plainTar() (c *v1.ConfigFile, layers []string, over string, err error) {
	work, err := i.store.newWorkDir()
	if err != nil {
		return nil, nil, "", err
	}
	c, m, err := i.plainTarIn(work)
	if err = errors.Join(err, i.store.removeWork(work)); err != nil {
		return nil, nil, "", err
	}
	name := jfs.LayerName(m.diffID)
	switch {
	case m.diffID == i.got.ID: // a directory, with nothing to delete in it any more
		return c, []string{name}, "", nil
	case m.bottom: // nothing shows that is below it
		return c, []string{name}, "", nil
	case m.hides == 0:
		return c, []string{name}, name, nil
	}
	layers, err = i.flatten(c)
	i.got.Flat = false // it is no image whose layers others could share
	return c, layers, name, err
}

// plainTarIn makes sure of the layer; its digest is that of the image where the
// store can keep no deletions, and there are some.
func (i *importing) plainTarIn(work lock) (*v1.ConfigFile, *layerMeta, error) {
	p, err := i.store.beginUnpacking(work, i.budget, i.store.flat)
	if err != nil {
		return nil, nil, err
	}
	defer p.close()
	diffID, err := p.add(i.ctx, i.found.layers[0], "", i.tick(0))
	if err == nil {
		err = p.rootOfFiles()
	}
	if err != nil {
		return nil, nil, i.layerError(0, err)
	}
	c, err := i.plainConfig(diffID)
	if err != nil {
		return nil, nil, err
	}
	if i.store.flat && p.u.tree.hidden > 0 {
		diffID = i.got.ID
	}
	m, fresh, err := p.publishOnce(diffID)
	if err != nil {
		return nil, nil, err
	}
	i.count(m, fresh)
	i.tell(0, 0, Done)
	return c, m, nil
}

// plainConfig makes the configuration that the tar does not have.
func (i *importing) plainConfig(diffID string) (*v1.ConfigFile, error) {
	h, err := v1.NewHash(diffID)
	if err != nil {
		return nil, err
	}
	c := &v1.ConfigFile{OS: "linux", RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{h}}}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	i.got.ID = fmt.Sprintf("sha256:%x", sha256.Sum256(text))
	return c, nil
}

// publishOnce is publish for a layer that another import may have unpacked at
// the same time.
func (p *unpacking) publishOnce(diffID string) (m *layerMeta, fresh bool, err error) {
	s, name := p.store, jfs.LayerName(diffID)
	if m, ok, err := s.have(name, diffID); ok || err != nil {
		return m, false, err
	}
	l, err := s.workDir(name)
	if err != nil {
		return nil, false, err
	}
	m, ok, err := s.have(name, diffID)
	if err == nil && !ok {
		m, err = p.publish(name, diffID)
	}
	return m, !ok, errors.Join(err, s.removeWork(l))
}

// rootOfFiles refuses the tar of an image, whose files are layers and
// descriptions.
func (p *unpacking) rootOfFiles() error {
	var st unix.Stat_t
	has := func(name string) bool {
		return unix.Fstatat(int(p.root.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
	}
	if has("manifest.json") && (has("repositories") || has("oci-layout")) || has("index.json") && has("oci-layout") {
		return fmt.Errorf("%w: it is no tar of a root but an archive of images, named docker-archive:FILE", ErrFormat)
	}
	return nil
}
