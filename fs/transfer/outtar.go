package transfer

import (
	"bufio"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Tar writes place, a file or a directory with all below it, to w as a tar of
// regular files and directories that belong to nobody in particular (0:0). Names
// in it are relative: a directory is ".", a file its own name.
func (r *Reader) Tar(place string, w io.Writer, b Bounds) (Copied, error) {
	var st unix.Stat_t
	fd, err := r.Open(place, &st)
	if err != nil {
		return Copied{}, err
	}
	buffered := bufio.NewWriterSize(w, 256<<10)
	t := tarOut{tar: tarWriter{w: buffered}, left: b.Bytes, base: base(place), buf: make([]byte, 128<<10)}
	err = (&walk{r: r, v: &t, left: b.Entries}).tree(fd, &st)
	if err == nil {
		err = t.tar.end()
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return Copied{}, &os.PathError{Op: "copy", Path: place, Err: err}
	}
	return t.done, nil
}

func base(place string) string {
	for i := len(place) - 1; i >= 0; i-- {
		if place[i] == '/' {
			return place[i+1:]
		}
	}
	return place
}

type tarOut struct {
	tar  tarWriter
	base string
	left int64
	buf  []byte
	done Copied
}

func (t *tarOut) file(e *entry, fd int) error {
	if e.st.Size > t.left {
		return ErrTooLarge
	}
	t.left -= e.st.Size
	name := e.path
	if e.dir < 0 {
		name = t.base
	}
	err := t.tar.header(&tarHeader{kind: tarFile, name: name, mode: fileMode(e), size: e.st.Size, mtime: e.st.Mtim})
	if err == nil {
		err = t.tar.content(fd, e.st.Size, t.buf)
	}
	t.done.Files++
	t.done.Bytes += e.st.Size
	return err
}

func (t *tarOut) enter(e *entry, _ int) (bool, error) {
	name := "./"
	if e.path != "" {
		name = e.path + "/"
	}
	return true, t.tar.header(&tarHeader{kind: tarDir, name: name, mode: e.st.Mode&0o777 | 0o700, mtime: e.st.Mtim})
}

func (t *tarOut) leave(*entry) error { return nil }

func (t *tarOut) other(e *entry) error {
	t.done.Skipped.add(e.path, kindName(e.kind()))
	return nil
}

func (t *tarOut) skip(e *entry, why error) { t.done.Skipped.add(e.path, why.Error()) }
