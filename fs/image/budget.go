package image

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Limits bound what an image may take of the host. A zero field is the default.
type Limits struct {
	Bytes   int64 // of all files of all layers, holes counted; 0 means 16 GiB, and never more than the file system has free
	Entries int   // of all layers; 0 means 4 million
}

// The defaults of Limits.
const (
	DefaultBytes   = 16 << 30
	DefaultEntries = 4_000_000
)

// budget is what is left of Limits.
type budget struct {
	limits  Limits
	bytes   int64
	entries int
	tight   bool // limits.Bytes is what the file system of the store has left
}

func newBudget(l Limits) *budget {
	if l.Bytes == 0 {
		l.Bytes = DefaultBytes
	}
	if l.Entries == 0 {
		l.Entries = DefaultEntries
	}
	return &budget{limits: l, bytes: l.Bytes, entries: l.Entries}
}

// again is the budget as it was at first.
func (b *budget) again() *budget {
	fresh := newBudget(b.limits)
	fresh.tight = b.tight
	return fresh
}

func (b *budget) take(n int64) error {
	if n > b.bytes && b.tight {
		return fmt.Errorf("%w in the file system of the store: of what it has free %d bytes are for an image, the rest is for others", unix.ENOSPC, b.limits.Bytes)
	}
	if n > b.bytes {
		return fmt.Errorf("%w: the files of the image are more than %d bytes in all", ErrTooLarge, b.limits.Bytes)
	}
	b.bytes -= n
	return nil
}

func (b *budget) entry() error {
	if b.entries--; b.entries < 0 {
		return fmt.Errorf("%w: the image has more than %d entries", ErrTooLarge, b.limits.Entries)
	}
	return nil
}
