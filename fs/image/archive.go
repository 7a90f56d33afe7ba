package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An archive is a tar whose members are read in place: where each lies is found
// in one pass over the headers.
type archive struct {
	f       *os.File
	members map[string]member
}

type member struct {
	at, size int64
	link     string // member that it stands for; docker save links equal layers
}

// maxMembers bounds the members of an archive of images.
const maxMembers = 100_000

// openFile opens a file that is to be read as a whole. A FIFO or a device could
// hold us up for ever.
func openFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	switch {
	case err == nil && st.IsDir():
		err = &os.PathError{Op: "open", Path: name, Err: errors.New("is a directory: an OCI layout is named oci:DIR, and the directory of a root needs no import")}
	case err == nil && !st.Mode().IsRegular():
		err = &os.PathError{Op: "open", Path: name, Err: errors.New("is no regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openArchive reads what docker save writes. A compressed one is first
// decompressed into dir, where it has no name.
func openArchive(ctx context.Context, name, tag, dir string, most int64) (*found, error) {
	f, err := openFile(name)
	if err != nil {
		return nil, err
	}
	f, err = plainFile(ctx, f, dir, most)
	if err != nil {
		return nil, err
	}
	a := &archive{f: f, members: map[string]member{}}
	found, err := a.read(tag)
	if err != nil {
		f.Close()
		return nil, err
	}
	found.close = f.Close
	return found, nil
}

// plainFile returns f, or a nameless file with what comes out of it.
func plainFile(ctx context.Context, f *os.File, dir string, most int64) (*os.File, error) {
	plain, end, err := decompress(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	defer end()
	if _, as := plain.(*bufio.Reader); as {
		_, err := f.Seek(0, io.SeekStart)
		return f, err
	}
	defer f.Close()
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	tmp := os.NewFile(uintptr(fd), dir+"/archive")
	n, err := io.Copy(tmp, io.LimitReader(readerWith{ctx, plain}, most+1))
	switch {
	case err != nil:
		err = compressionError(err)
	case n > most:
		err = fmt.Errorf("%w: more than %d bytes come out of it", ErrTooLarge, most)
	default:
		_, err = tmp.Seek(0, io.SeekStart)
	}
	if err != nil {
		tmp.Close()
		return nil, err
	}
	return tmp, nil
}

// readerWith ends a long copy when ctx does.
type readerWith struct {
	ctx context.Context
	r   io.Reader
}

func (r readerWith) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// read finds the members and the image.
func (a *archive) read(tag string) (*found, error) {
	if err := a.scan(); err != nil {
		return nil, err
	}
	if _, ok := a.members["manifest.json"]; !ok {
		if _, ok := a.members["index.json"]; ok {
			return readLayout(a, tag)
		}
		return nil, fmt.Errorf("%w: it has neither manifest.json nor index.json; the tar of a root is named by its path alone", ErrFormat)
	}
	b, err := document(a, "manifest.json")
	if err != nil {
		return nil, err
	}
	var images []saved
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&images); err != nil {
		return nil, fmt.Errorf("manifest.json: %w: %w", ErrFormat, err)
	}
	one, err := chooseSaved(images, tag)
	if err != nil {
		return nil, err
	}
	return a.image(one, tag)
}

// saved is one image in manifest.json.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func chooseSaved(images []saved, tag string) (*saved, error) {
	var tags []string
	for i := range images {
		if tag != "" && slices.Contains(images[i].RepoTags, tag) {
			return &images[i], nil
		}
		tags = append(tags, images[i].RepoTags...)
	}
	switch {
	case tag != "":
		return nil, fmt.Errorf("%w: tag %q; it has %s", ErrNoImage, tag, strings.Join(tags, ", "))
	case len(images) == 0:
		return nil, fmt.Errorf("manifest.json: %w: it names no image", ErrFormat)
	case len(images) != 1:
		return nil, fmt.Errorf("%w without a tag: it has %d images: %s", ErrNoImage, len(images), strings.Join(tags, ", "))
	}
	return &images[0], nil
}

func (a *archive) image(s *saved, tag string) (*found, error) {
	config, err := document(a, s.Config)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	f := &found{config: config, close: func() error { return nil }}
	if tag == "" && len(s.RepoTags) > 0 {
		f.tag = s.RepoTags[0]
	}
	for _, name := range s.Layers {
		m, err := a.member(name)
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", name, err)
		}
		f.layers = append(f.layers, blob{size: m.size, open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(a.f, m.at, m.size)), nil
		}})
	}
	return f, nil
}

// scan notes where the members lie. tar.Reader seeks over their content.
func (a *archive) scan() error {
	tr := tar.NewReader(a.f)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return tarError(err)
		}
		if len(a.members) >= maxMembers {
			return fmt.Errorf("%w: it has more than %d members", ErrTooLarge, maxMembers)
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			at, err := a.f.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			if st, err := a.f.Stat(); err != nil || at+h.Size > st.Size() {
				return fmt.Errorf("%w: the archive is truncated in %q", ErrFormat, h.Name)
			}
			a.members[name] = member{at: at, size: h.Size}
		case tar.TypeSymlink:
			a.members[name] = member{link: path.Join(path.Dir(name), h.Linkname)}
		case tar.TypeLink:
			a.members[name] = member{link: path.Clean(h.Linkname)}
		}
	}
}

func (a *archive) member(name string) (member, error) {
	m, ok := a.members[path.Clean(name)]
	for range 8 {
		if !ok || m.link == "" {
			break
		}
		m, ok = a.members[m.link]
	}
	if !ok || m.link != "" {
		return member{}, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return m, nil
}

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	m, err := a.member(name)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(io.NewSectionReader(a.f, m.at, m.size)), m.size, nil
}
