package transfer

import (
	"bufio"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// A Layer says how the upper directory of an overlay becomes an OCI layer.
type Layer struct {
	// Inside translates ids as the runner sees them; what it does not know
	// becomes 0.
	Inside func(uid, gid uint32) (u, g uint32)
	// Without lists paths that are no part of the layer, without a leading
	// slash: places where something was mounted.
	Without map[string]bool
}

// Names of the OCI image specification, "Whiteouts".
const (
	whiteoutPrefix = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
)

// Export writes what the area's upper directory holds to w, as an OCI layer.
// Sockets are left out, and so are names of the job's that would be whiteouts.
func (l *Layer) Export(a *Area, r *Reader, w io.Writer, b Bounds) (Copied, error) {
	buffered := bufio.NewWriterSize(w, 256<<10)
	v := layerOut{Layer: l, r: r, tar: tarWriter{w: buffered}, left: b.Bytes, buf: make([]byte, 128<<10), links: map[uint64]string{}}
	err := a.walk(r, &v, b)
	if err == nil {
		err = v.tar.end()
	}
	if err == nil {
		err = buffered.Flush()
	}
	return v.done, err
}

type layerOut struct {
	*Layer
	r     *Reader
	tar   tarWriter
	left  int64
	buf   []byte
	links map[uint64]string // names of files with more than one
	done  Copied
}

// header makes the header of an entry; nil if it is no part of the layer.
func (l *layerOut) header(e *entry, kind byte) *tarHeader {
	if l.Without[e.path] {
		return nil
	}
	if strings.HasPrefix(e.name, whiteoutPrefix) {
		l.done.Skipped.add(e.path, "a layer cannot hold such a name")
		return nil
	}
	h := &tarHeader{kind: kind, name: e.path, mode: e.st.Mode & 0o7777, mtime: e.st.Mtim}
	h.uid, h.gid = l.Inside(e.st.Uid, e.st.Gid)
	return h
}

func (l *layerOut) file(e *entry, fd int) error {
	h := l.header(e, tarFile)
	if h == nil {
		return nil
	}
	if e.st.Nlink > 1 {
		if first, ok := l.links[e.st.Ino]; ok {
			h.kind, h.link = tarLink, first
			return l.tar.header(h)
		}
		l.links[e.st.Ino] = e.path
	}
	if e.st.Size > l.left {
		return ErrTooLarge
	}
	l.left -= e.st.Size
	h.size = e.st.Size
	h.xattrs = l.r.userXattrs(fd)
	err := l.tar.header(h)
	if err == nil {
		err = l.tar.content(fd, e.st.Size, l.buf)
	}
	l.done.Files++
	l.done.Bytes += e.st.Size
	return err
}

func (l *layerOut) enter(e *entry, fd int) (bool, error) {
	if e.dir < 0 {
		return true, nil
	}
	h := l.header(e, tarDir)
	if h == nil {
		return false, nil
	}
	h.name += "/"
	h.xattrs = l.r.userXattrs(fd)
	if err := l.tar.header(h); err != nil {
		return false, err
	}
	opaque, err := l.r.xattr(fd, opaqueXattr)
	if err != nil {
		return false, err
	}
	if string(opaque) == "y" {
		err = l.tar.header(&tarHeader{kind: tarFile, name: join(e.path, opaqueWhiteout), mode: 0o644})
	}
	return true, err
}

func (l *layerOut) leave(*entry) error { return nil }

func (l *layerOut) other(e *entry) error {
	if isWhiteout(&e.st) {
		dir := strings.TrimSuffix(e.path, e.name)
		return l.tar.header(&tarHeader{kind: tarFile, name: dir + whiteoutPrefix + e.name, mode: 0o644})
	}
	switch e.kind() {
	case unix.S_IFLNK:
		h := l.header(e, tarSymlink)
		if h == nil {
			return nil
		}
		to, err := l.r.readlink(e.dir, e.name)
		if err != nil {
			l.skip(e, err)
			return nil
		}
		h.link = to
		return l.tar.header(h)
	case unix.S_IFIFO:
		if h := l.header(e, tarFIFO); h != nil {
			return l.tar.header(h)
		}
		return nil
	}
	l.done.Skipped.add(e.path, kindName(e.kind()))
	return nil
}

func (l *layerOut) skip(e *entry, why error) { l.done.Skipped.add(e.path, why.Error()) }

// userXattrs returns the attributes that a job can set, but for overlay's own.
// What cannot be read is left out: they are no part of a file's content.
func (r *Reader) userXattrs(fd int) [][2]string {
	var buf [4096]byte
	n, err := unix.Flistxattr(fd, buf[:])
	if err != nil {
		return nil
	}
	var list [][2]string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		if value, err := r.xattr(fd, name); err == nil && value != nil {
			list = append(list, [2]string{name, string(value)})
		}
	}
	return list
}
