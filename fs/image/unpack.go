package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An unpacker puts the entries of a tar into a tree.
type unpacker struct {
	tree   *tree
	budget *budget
	// ids receives what the files here cannot say of the entries: owner, modes
	// that need privilege, attributes that would.
	ids     *bufio.Writer
	buf     []byte
	entries int
	bytes   int64
	leftOut []string // entries that are not unpacked, up to maxLeftOut
	skipped int
}

const (
	maxLeftOut = 8
	chunk      = 256 << 10
	block      = 4 << 10 // the least that makes a hole
)

var zeros [block]byte

// unpack reads a tar to its end.
func (u *unpacker) unpack(ctx context.Context, r io.Reader) error {
	tr := tar.NewReader(r)
	u.buf = make([]byte, chunk)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return tarError(err)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := u.budget.entry(); err != nil {
			return &entryError{h.Name, err}
		}
		u.entries++
		if err := u.entry(h, tr); err != nil {
			return &entryError{h.Name, tarError(err)}
		}
	}
}

func tarError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the archive is truncated", ErrFormat)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return fmt.Errorf("%w: the archive is damaged (%w)", ErrFormat, err)
	}
	return err
}

// entry unpacks one entry.
func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := entryName(h.Name)
	if err != nil {
		return err
	}
	dirName, base := splitName(name)
	if strings.HasPrefix(dirName, whiteoutPrefix) || strings.Contains(dirName, "/"+whiteoutPrefix) {
		return refuse("it lies in a whiteout")
	}
	deleted, isWhiteout, isMeta, err := whiteoutOf(base)
	switch {
	case err != nil || isMeta:
		return err
	case isWhiteout && deleted == "":
		return u.tree.opaque(dirName)
	case isWhiteout:
		return u.tree.whiteout(joinName(dirName, deleted))
	}
	if err := u.make(name, h, r); err != nil {
		return err
	}
	u.record(name, h)
	return nil
}

func joinName(dirName, base string) string {
	if dirName == "." {
		return base
	}
	return dirName + "/" + base
}

// fileMode are the bits that are kept: none that gives a program another's
// rights, which no job's mount honours either.
func fileMode(h *tar.Header) uint32 { return uint32(h.Mode) & 0o1777 }

func (u *unpacker) make(name string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeReg, '\x00', tar.TypeGNUSparse, tar.TypeCont:
		return u.file(name, h, r)
	case tar.TypeDir:
		if err := u.tree.mkdir(name, fileMode(h), h.ModTime); err != nil {
			return err
		}
		return u.dirXattrs(name, h)
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxPath {
			return refuse("is a symbolic link of %d bytes", len(h.Linkname))
		}
		return u.tree.symlink(name, h.Linkname, h.ModTime)
	case tar.TypeLink:
		target, err := entryName(h.Linkname)
		if err != nil {
			return refuse("is a hard link to %q: %v", h.Linkname, err)
		}
		return u.tree.link(name, target)
	case tar.TypeFifo:
		return u.tree.fifo(name, fileMode(h), h.ModTime)
	case tar.TypeChar, tar.TypeBlock:
		// A job gets its own /dev, and a device elsewhere is a hole in a root.
		u.skipped++
		if len(u.leftOut) < maxLeftOut {
			u.leftOut = append(u.leftOut, fmt.Sprintf("device %s (%d:%d)", name, h.Devmajor, h.Devminor))
		}
		return nil
	}
	return refuse("is of the unknown type %q", h.Typeflag)
}

// file writes a regular file; blocks of zeros become holes.
func (u *unpacker) file(name string, h *tar.Header, r io.Reader) error {
	if h.Size < 0 {
		return refuse("has a negative size")
	}
	if err := u.budget.take(h.Size); err != nil {
		return err
	}
	fd, err := u.tree.create(name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := u.content(fd, h.Size, r); err != nil {
		return err
	}
	u.bytes += h.Size
	if err := u.fileXattrs(fd, name, h); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, fileMode(h)); err != nil {
		return err
	}
	return setFdTimes(fd, h.ModTime)
}

func (u *unpacker) content(fd int, size int64, r io.Reader) error {
	var at, end int64 // end of what has been written
	for at < size {
		n, err := io.ReadFull(r, u.buf[:min(int64(chunk), size-at)])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		for b := u.buf[:n]; len(b) > 0; {
			hole, data := runs(b)
			at += int64(hole)
			if err := writeAt(fd, b[hole:hole+data], at); err != nil {
				return err
			}
			if at += int64(data); data > 0 {
				end = at
			}
			b = b[hole+data:]
		}
	}
	if end < size {
		return unix.Ftruncate(fd, size)
	}
	return nil
}

// runs measures the blocks of zeros at the beginning of b and the data behind
// them, up to the next block of zeros.
func runs(b []byte) (hole, data int) {
	for hole < len(b) && isZero(b[hole:min(hole+block, len(b))]) {
		hole = min(hole+block, len(b))
	}
	end := hole
	for end < len(b) && !isZero(b[end:min(end+block, len(b))]) {
		end = min(end+block, len(b))
	}
	return hole, end - hole
}

func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b, zeros[:len(b)]) }

func writeAt(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

const xattrRecord = "SCHILY.xattr."

// keepsXattr tells which attributes are kept: those of users, but for overlay's
// own, by which a layer would change what the layers below it show. Others give
// rights (security.capability) or name ids that mean nothing here.
func keepsXattr(name string) bool {
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}

func (u *unpacker) dirXattrs(name string, h *tar.Header) error {
	if len(h.PAXRecords) == 0 {
		return nil
	}
	fd, err := u.tree.parent(name)
	if err != nil {
		return err
	}
	return u.fileXattrs(fd, name, h)
}

func (u *unpacker) fileXattrs(fd int, name string, h *tar.Header) error {
	for key, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, xattrRecord)
		if !ok {
			continue
		}
		if keepsXattr(attr) {
			err := unix.Fsetxattr(fd, attr, []byte(value), 0)
			if err == nil {
				continue
			}
			if !errors.Is(err, unix.ENOTSUP) {
				return fmt.Errorf("attribute %q: %w", attr, err)
			}
		}
		fmt.Fprintf(u.ids, "xattr %s %s %s\n", strconv.Quote(name), strconv.Quote(attr), strconv.Quote(value))
	}
	return nil
}

// record keeps what the file does not show, so that the layer can be written
// out again as it came.
func (u *unpacker) record(name string, h *tar.Header) {
	mode := h.Mode & 0o7777
	if h.Uid == 0 && h.Gid == 0 && mode&0o6000 == 0 && h.Typeflag != tar.TypeChar && h.Typeflag != tar.TypeBlock {
		return
	}
	kind := "own"
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		kind = fmt.Sprintf("device %c %d %d", h.Typeflag, h.Devmajor, h.Devminor)
	}
	fmt.Fprintf(u.ids, "%s %d %d %04o %s\n", kind, h.Uid, h.Gid, mode, strconv.Quote(name))
}
