package transfer

import (
	"errors"
	"io"
	"strconv"

	"golang.org/x/sys/unix"
)

// A tarWriter writes the POSIX form of tar (ustar, with pax records where a
// name or a number does not fit).
//
// Decision: archive/tar would be linked into jailrun for a header of 512 bytes,
// and its initialisation paid at every start; the tests read with it what is
// written here.
type tarWriter struct {
	w    io.Writer
	head [tarBlock]byte
	left int64 // bytes of the open entry still to be written
	pad  int   // bytes behind it
	err  error
}

const tarBlock = 512

// Types of entries (pax(1), "ustar Interchange Format").
const (
	tarFile    = '0'
	tarLink    = '1' // hard link
	tarSymlink = '2'
	tarDir     = '5'
	tarFIFO    = '6'
	tarPax     = 'x'
)

type tarHeader struct {
	kind       byte
	name, link string
	mode       uint32
	uid, gid   uint32
	size       int64
	mtime      unix.Timespec
	xattrs     [][2]string
}

// header begins an entry; size bytes of content must follow.
func (t *tarWriter) header(h *tarHeader) error {
	if t.left > 0 {
		t.err = errors.New("content is missing")
	}
	var pax []byte
	for _, x := range h.xattrs {
		pax = appendPax(pax, "SCHILY.xattr."+x[0], x[1])
	}
	if len(h.name) > 100 {
		pax = appendPax(pax, "path", h.name)
	}
	if len(h.link) > 100 {
		pax = appendPax(pax, "linkpath", h.link)
	}
	if h.size > 1<<33-1 {
		pax = appendPax(pax, "size", strconv.FormatInt(h.size, 10))
	}
	if h.uid > 1<<21-1 {
		pax = appendPax(pax, "uid", strconv.FormatUint(uint64(h.uid), 10))
	}
	if h.gid > 1<<21-1 {
		pax = appendPax(pax, "gid", strconv.FormatUint(uint64(h.gid), 10))
	}
	if pax != nil {
		t.block(&tarHeader{kind: tarPax, name: "pax", mode: 0o644, size: int64(len(pax))})
		_, _ = t.Write(pax)
	}
	t.block(h)
	return t.err
}

// appendPax adds "LENGTH KEY=VALUE\n", where LENGTH counts itself.
func appendPax(b []byte, key, value string) []byte {
	rest := len(key) + len(value) + 3 // blank, =, newline
	n := rest + len(strconv.Itoa(rest))
	if m := rest + len(strconv.Itoa(n)); m != n {
		n = m
	}
	b = append(strconv.AppendInt(b, int64(n), 10), ' ')
	b = append(append(b, key...), '=')
	return append(append(b, value...), '\n')
}

func (t *tarWriter) block(h *tarHeader) {
	clear(t.head[:])
	b := t.head[:]
	copy(b[0:100], h.name)
	octal(b[100:108], uint64(h.mode&0o7777))
	octal(b[108:116], min(uint64(h.uid), 1<<21-1))
	octal(b[116:124], min(uint64(h.gid), 1<<21-1))
	octal(b[124:136], min(uint64(h.size), 1<<33-1))
	octal(b[136:148], uint64(max(0, h.mtime.Sec)))
	b[156] = h.kind
	copy(b[157:257], h.link)
	copy(b[257:], "ustar\x0000")
	copy(b[148:156], "        ")
	sum := uint64(0)
	for _, c := range b {
		sum += uint64(c)
	}
	octal(b[148:155], sum)
	if t.err == nil {
		_, t.err = t.w.Write(b)
	}
	t.left, t.pad = h.size, int(-h.size&(tarBlock-1))
	if h.size == 0 {
		t.pad = 0
	}
}

// octal writes n in octal digits that fill b but for a NUL at its end.
func octal(b []byte, n uint64) {
	for i := len(b) - 2; i >= 0; i-- {
		b[i] = '0' + byte(n&7)
		n >>= 3
	}
	b[len(b)-1] = 0
}

// Write writes content of the open entry, and what fills its last block.
func (t *tarWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > t.left && t.err == nil {
		t.err = errors.New("more content than was said")
	}
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.w.Write(p)
	if t.left -= int64(n); err == nil && t.left == 0 && t.pad > 0 {
		var zeros [tarBlock]byte
		_, err = t.w.Write(zeros[:t.pad])
		t.pad = 0
	}
	t.err = err
	return n, err
}

// end writes the two empty blocks.
func (t *tarWriter) end() error {
	if t.left > 0 && t.err == nil {
		t.err = errors.New("content is missing")
	}
	if t.err == nil {
		var zeros [2 * tarBlock]byte
		_, t.err = t.w.Write(zeros[:])
	}
	return t.err
}

// content writes the bytes of an open file, holes as zeros.
func (t *tarWriter) content(in int, size int64, buf []byte) error {
	for at := int64(0); at < size; {
		n, err := pread(in, buf[:min(int64(len(buf)), size-at)], at)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			_, err = t.Write(buf[:n])
		}
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}
