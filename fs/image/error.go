package image

import (
	"errors"
	"fmt"
	"strconv"
)

// An Error says where in an image something is wrong. The store is as it was
// before.
type Error struct {
	Image string // as the caller named it
	Layer string // digest; "" if it is not about a layer
	Index int    // of the layer, from 1 at the bottom
	Of    int    // number of layers
	Entry string // of the layer's tar, as it stands there; "" if it is not about one
	Err   error
}

// Error is "image: layer N of M (digest): "entry": reason".
func (e *Error) Error() string {
	s := e.Image + ": "
	if e.Layer != "" {
		s += fmt.Sprintf("layer %d of %d (%s): ", e.Index, e.Of, e.Layer)
	}
	if e.Entry != "" {
		s += strconv.Quote(e.Entry) + ": "
	}
	return s + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// What is wrong with an image, for errors.Is.
var (
	ErrDigest   = errors.New("does not have the digest that it must have")
	ErrEntry    = errors.New("refused")
	ErrTooLarge = errors.New("is above a bound")
	ErrNoImage  = errors.New("no such image")
	ErrFormat   = errors.New("is not in a form that is known")
)

// entryError is a refused entry of a layer; its name is added where it is known.
type entryError struct {
	name string
	err  error
}

func (e *entryError) Error() string { return strconv.Quote(e.name) + ": " + e.err.Error() }

func (e *entryError) Unwrap() error { return e.err }

func refuse(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrEntry, fmt.Sprintf(format, a...))
}
