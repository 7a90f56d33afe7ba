package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Read gives the header and every whole line of a journal to each, without
// writing or locking it.
func Read(path string, header, each func(line []byte) error) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = read(f, header, each)
	return err
}

// read returns the offset behind the last whole line.
func read(f *os.File, header, each func(line []byte) error) (int64, error) {
	r := bufio.NewReaderSize(f, 256<<10)
	end, torn := int64(0), false
	for n := 0; ; n++ {
		line, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, &os.PathError{Op: "read", Path: f.Name(), Err: err}
		}
		whole := err == nil && looksWhole(line)
		switch {
		case errors.Is(err, io.EOF) && end == 0: // nothing, or a header that was not written whole
			return 0, fmt.Errorf("%s is no journal: it has no header", f.Name())
		case errors.Is(err, io.EOF):
			return end, nil
		case !whole:
			torn = true // right if nothing whole follows
			continue
		case torn:
			return 0, fmt.Errorf("%s is damaged before offset %d; a batch without --resume starts afresh and keeps it as %s.old",
				f.Name(), end+int64(len(line)), filepath.Base(f.Name()))
		}
		if end += int64(len(line)) + 1; n == 0 {
			err = header(line)
		} else {
			err = each(line)
		}
		if err != nil {
			return 0, err
		}
	}
}

// readLine returns a line without its newline, io.EOF for one without.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	whole := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.ReadSlice('\n')
		if whole = append(whole, line...); len(whole) > longestLine {
			return nil, fmt.Errorf("a line of more than %d bytes", longestLine)
		}
	}
	if err != nil {
		return nil, err
	}
	return whole[:len(whole)-1], nil
}

// looksWhole tells a record from what a power failure leaves: a part of one,
// or zeros. Whether it is valid is seen when it is decoded.
func looksWhole(line []byte) bool {
	return len(line) > 1 && line[0] == '{' && line[len(line)-1] == '}' && bytes.IndexByte(line, 0) < 0
}
