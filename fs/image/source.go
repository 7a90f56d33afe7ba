package image

import (
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	jfs "github.com/jailrun/jailrun/fs"
)

// A Source is where an image comes from.
type Source struct {
	Kind Kind
	Path string // of the layout's directory or of the archive, or the reference in a registry
	Tag  string // of several images in one place; "" if there is but one
}

// Kind is the form of a Source.
type Kind uint8

// The kinds.
const (
	Layout   Kind = iota // directory in the OCI image layout
	Archive              // what docker save writes, or a layout in a tar
	Tar                  // the files of a root, as an image of one layer
	Registry             // a registry that speaks the OCI distribution protocol
)

// ParseSource reads what --rootfs takes: oci:DIR[:TAG], docker-archive:FILE[:TAG],
// tar:FILE or the path of a tar.
func ParseSource(s string) (Source, error) {
	kind, rest, ok := strings.Cut(s, ":")
	file, tag := jfs.CutTag(rest)
	switch tagged := kind == "oci" || kind == "docker-archive"; {
	case ok && (rest == "" || tagged && tag == "" && file != rest):
		return Source{}, fmt.Errorf("%q: nothing stands behind the colon", s)
	case ok && kind == "oci":
		return Source{Layout, file, tag}, nil
	case ok && kind == "docker-archive":
		return Source{Archive, file, tag}, nil
	case ok && kind == "tar":
		return Source{Kind: Tar, Path: rest}, nil
	case strings.Contains(s, "/") || jfs.IsTarName(s):
		return Source{Kind: Tar, Path: s}, nil
	}
	return Source{}, fmt.Errorf("%q: want oci:DIR[:TAG], docker-archive:FILE or the path of a tar", s)
}

// String is what ParseSource reads.
func (s Source) String() string {
	tag := ""
	if s.Tag != "" {
		tag = ":" + s.Tag
	}
	switch s.Kind {
	case Layout:
		return "oci:" + s.Path + tag
	case Archive:
		return "docker-archive:" + s.Path + tag
	}
	return s.Path
}

// file is what stands for the source: if it is as it was, so is the image. ""
// for a registry.
func (s Source) file() string {
	switch s.Kind {
	case Layout:
		return filepath.Join(s.Path, "index.json")
	case Registry:
		return ""
	}
	return s.Path
}

// defaultName is the name of an image that nobody named; "" for none.
func (s Source) defaultName() string {
	name := path.Base(s.Path)
	switch s.Kind {
	case Layout:
		if s.Tag != "" {
			name += ":" + s.Tag
		}
	case Archive:
		name = s.Tag
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			name = name[i+1:]
		}
	case Tar:
		for _, end := range [...]string{".gz", ".tgz", ".zst", ".tar"} {
			name = strings.TrimSuffix(name, end)
		}
	case Registry:
		name, _, _ = strings.Cut(name, "@")
	}
	if !jfs.IsImageName(name) {
		return ""
	}
	return name
}

// A found image is one whose configuration has been read, and no layer yet.
type found struct {
	config []byte // nil for a plain tar
	layers []blob // bottom to top
	tag    string // that the source has for it, if none was asked for
	close  func() error
}

// A blob is a layer as its source has it.
type blob struct {
	digest string // of the file; "" if the source does not say
	size   int64  // of the file; -1 if the source does not say
	open   func(ctx context.Context) (io.ReadCloser, error)
}
