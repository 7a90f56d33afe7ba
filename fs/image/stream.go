package image

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is the most memory that a zstd frame may ask for; what registries
// hold needs 8 MiB.
const maxWindow = 128 << 20

// decompress undoes the compression that the first bytes show.
func decompress(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, chunk)
	head, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, compressionError(err)
		}
		return z, func() {}, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, compressionError(err)
		}
		return z, z.Close, nil
	case bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return nil, nil, fmt.Errorf("%w: it is compressed with bzip2 or xz; gzip, zstd and none are known", ErrFormat)
	}
	return b, func() {}, nil
}

func compressionError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the compressed stream is truncated", ErrFormat)
	}
	return fmt.Errorf("%w: the compressed stream is damaged (%w)", ErrFormat, err)
}

// A stream is a layer on its way from its file to the unpacker: read,
// decompressed and hashed on goroutines of their own, because inflating takes as
// long as writing the files. It is an io.Reader of the uncompressed tar.
type stream struct {
	packed, plain hash.Hash // what has been read, and what came of it
	tick          func(n int)
	left          int64 // bytes that may still come out

	rest   []byte // of the chunk that is being read
	whole  []byte // that chunk
	chunks chan []byte
	free   chan []byte
	stop   chan struct{}
	done   sync.WaitGroup
	err    error // why chunks was closed
	ended  bool  // who reads has met the end
}

const inFlight = 6

// newStream begins to read r, out of which at most max bytes may come. tick is
// told of every n bytes read, on another goroutine.
func newStream(r io.Reader, max int64, tick func(n int)) *stream {
	s := &stream{
		packed: sha256.New(), plain: sha256.New(), tick: tick, left: max,
		chunks: make(chan []byte, inFlight), free: make(chan []byte, inFlight+2), stop: make(chan struct{}),
	}
	for range inFlight {
		s.free <- make([]byte, chunk)
	}
	raw := make(chan []byte, 1)
	s.done.Add(2)
	go func() {
		defer s.done.Done()
		defer close(raw)
		s.err = s.read(r, raw)
	}()
	go func() {
		defer s.done.Done()
		defer close(s.chunks)
		for b := range raw {
			s.plain.Write(b)
			select {
			case s.chunks <- b:
			case <-s.stop:
			}
		}
	}()
	return s
}

// read decompresses into free chunks until the end.
func (s *stream) read(r io.Reader, out chan<- []byte) error {
	counted := io.TeeReader(r, tickWriter{s})
	z, end, err := decompress(counted)
	if err != nil {
		return err
	}
	defer end()
	for {
		var b []byte
		select {
		case b = <-s.free:
		case <-s.stop:
			return errStopped
		}
		n, err := io.ReadFull(z, b[:chunk])
		if s.left -= int64(n); s.left < 0 {
			return fmt.Errorf("%w: more comes out of it than an image may have", ErrTooLarge)
		}
		if n > 0 {
			select {
			case out <- b[:n]:
			case <-s.stop:
				return errStopped
			}
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && s.isAtEnd(z):
			_, err = io.Copy(io.Discard, counted) // what stands behind the compressed stream is hashed as well
			return err
		}
		return compressionError(err)
	}
}

// isAtEnd tells the end of a stream in the middle of a chunk from a stream that
// was cut off, which io.ReadFull reports alike.
func (s *stream) isAtEnd(z io.Reader) bool {
	var b [1]byte
	_, err := z.Read(b[:])
	return err == io.EOF
}

var errStopped = errors.New("the reader has stopped")

type tickWriter struct{ s *stream }

func (w tickWriter) Write(p []byte) (int, error) {
	w.s.packed.Write(p)
	if w.s.tick != nil {
		w.s.tick(len(p))
	}
	return len(p), nil
}

func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.whole != nil {
			s.free <- s.whole
			s.whole = nil
		}
		b, ok := <-s.chunks
		if !ok {
			s.done.Wait()
			if s.err != nil {
				return 0, s.err
			}
			s.ended = true
			return 0, io.EOF
		}
		s.rest, s.whole = b, b[:cap(b)]
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// digests reads what is left and returns the digests of the file and of the tar
// in it.
func (s *stream) digests() (packed, plain string, err error) {
	if _, err := io.Copy(io.Discard, s); err != nil {
		return "", "", err
	}
	return digestOf(s.packed), digestOf(s.plain), nil
}

// close ends the goroutines; the reader they read from may be closed then.
func (s *stream) close() {
	close(s.stop)
	for range s.chunks { // let the second one run out
	}
	s.done.Wait()
}

func digestOf(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }
