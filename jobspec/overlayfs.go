package jobspec

import (
	"bytes"
	"io/fs"
	"path"
	"time"
)

// Overlay is a file system with some more files in it.
type Overlay struct {
	fs.FS
	More map[string][]byte
}

// Open opens one of the further files, or else one of the file system.
func (o Overlay) Open(name string) (fs.File, error) {
	if text, ok := o.More[name]; ok {
		return &memory{name: path.Base(name), size: int64(len(text)), Reader: bytes.NewReader(text)}, nil
	}
	return o.FS.Open(name)
}

// memory is a file of an Overlay, and its own FileInfo.
type memory struct {
	*bytes.Reader
	name string
	size int64
}

func (m *memory) Stat() (fs.FileInfo, error) { return info{m}, nil }
func (m *memory) Close() error               { return nil }

type info struct{ m *memory }

func (i info) Name() string       { return i.m.name }
func (i info) Size() int64        { return i.m.size }
func (i info) Mode() fs.FileMode  { return 0o444 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
