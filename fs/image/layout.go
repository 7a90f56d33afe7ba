package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
)

// maxDocument bounds indexes, manifests and configurations.
const maxDocument = 4 << 20

// A files is what a layout can lie in: a directory or a tar.
type files interface {
	open(name string) (io.ReadCloser, int64, error)
}

// document reads one whole JSON document.
func document(in files, name string) ([]byte, error) {
	r, size, err := in.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > maxDocument {
		return nil, fmt.Errorf("%s: %w: it has %d bytes of %d", name, ErrTooLarge, size, maxDocument)
	}
	return io.ReadAll(io.LimitReader(r, maxDocument))
}

// blobDocument reads a document that is named by its digest, and checks it.
func blobDocument(in files, h v1.Hash) ([]byte, error) {
	if err := knownDigest(h); err != nil {
		return nil, err
	}
	b, err := document(in, blobName(h))
	if err == nil {
		err = checkDigest(b, h.String(), blobName(h))
	}
	return b, err
}

// knownDigest refuses a digest that no file could be checked against.
func knownDigest(h v1.Hash) error {
	if !jfs.IsDigest(h.String()) {
		return fmt.Errorf("%w: it is named by %q, which is no SHA-256 digest", ErrFormat, h)
	}
	return nil
}

func checkDigest(b []byte, want, name string) error {
	sum := sha256.Sum256(b)
	if got := "sha256:" + hex.EncodeToString(sum[:]); got != want {
		return fmt.Errorf("%s %w: it has %s", name, ErrDigest, got)
	}
	return nil
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// A layoutDir is a layout in a directory. Nothing is opened through a link out
// of it, and only regular files are read.
type layoutDir struct{ root *os.Root }

func (d layoutDir) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: name, Err: errors.New("is no regular file")}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}

func openLayout(dir, tag string) (*found, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f, err := readLayout(layoutDir{root}, tag)
	if err != nil {
		root.Close()
		return nil, err
	}
	f.close = root.Close
	return f, nil
}

// readLayout finds the image of the tag in a layout, or the only one.
func readLayout(in files, tag string) (*found, error) {
	b, err := document(in, "index.json")
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: it has no index.json, as an OCI layout has", ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("index.json: %w: %w", ErrFormat, err)
	}
	d, err := choose(index.Manifests, tag)
	if err != nil {
		return nil, err
	}
	f, err := readManifest(in, d, 0)
	if err == nil && tag == "" {
		f.tag = d.Annotations[refName]
	}
	return f, err
}

const refName = "org.opencontainers.image.ref.name"

// choose takes the image of a tag out of an index. A tag may stand at the images
// of several architectures.
func choose(list []v1.Descriptor, tag string) (v1.Descriptor, error) {
	var tags []string
	var tagged []v1.Descriptor
	for _, d := range list {
		t := d.Annotations[refName]
		if t != "" && !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
		if t == tag {
			tagged = append(tagged, d)
		}
	}
	switch {
	case tag != "" && len(tagged) == 1:
		return tagged[0], nil
	case tag != "" && len(tagged) == 0:
		return v1.Descriptor{}, fmt.Errorf("%w: tag %q; it has %s", ErrNoImage, tag, orNone(tags))
	case tag == "" && len(list) == 1:
		return list[0], nil
	case tag == "" && len(tags) > 0:
		return v1.Descriptor{}, fmt.Errorf("%w without a tag: it has %s", ErrNoImage, orNone(tags))
	}
	return forThisMachine(tagged)
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// forThisMachine takes the image of this architecture out of an index.
func forThisMachine(list []v1.Descriptor) (v1.Descriptor, error) {
	var have []string
	for _, d := range list {
		if d.Platform == nil {
			continue
		}
		if d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH {
			return d, nil
		}
		have = append(have, d.Platform.String())
	}
	return v1.Descriptor{}, fmt.Errorf("%w for linux/%s: it has %s", ErrNoImage, runtime.GOARCH, orNone(have))
}

// readManifest reads what a descriptor names: an image, or once an index of
// images of several architectures.
func readManifest(in files, d v1.Descriptor, depth int) (*found, error) {
	b, err := blobDocument(in, d.Digest)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if d.MediaType.IsIndex() && depth == 0 {
		index, err := v1.ParseIndexManifest(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w: %w", d.Digest, ErrFormat, err)
		}
		one, err := forThisMachine(index.Manifests)
		if err != nil {
			return nil, err
		}
		return readManifest(in, one, 1)
	}
	m, err := v1.ParseManifest(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w: %w", d.Digest, ErrFormat, err)
	}
	config, err := blobDocument(in, m.Config.Digest)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", m.Config.Digest, err)
	}
	f := &found{config: config, close: func() error { return nil }}
	for _, l := range m.Layers {
		if err := errors.Join(checkLayerType(l.MediaType), knownDigest(l.Digest)); err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
		f.layers = append(f.layers, blob{digest: l.Digest.String(), size: l.Size, open: func(context.Context) (io.ReadCloser, error) {
			r, _, err := in.open(blobName(l.Digest))
			return r, err
		}})
	}
	return f, nil
}

func checkLayerType(t types.MediaType) error {
	if !t.IsLayer() && t != "" {
		return fmt.Errorf("%w: media type %q", ErrFormat, t)
	}
	return nil
}
