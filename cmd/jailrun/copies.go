package main

import (
	"errors"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
)

// addCopyIn reads SRC:DST. DST is what follows the first ":/", so that SRC may
// hold a colon and DST as well.
func (r *request) addCopyIn(value string) error {
	source, target, ok := strings.Cut(value, ":/")
	if !ok || source == "" {
		return errors.New(quote(value) + ": want SRC:DST, and a DST that starts with /")
	}
	r.spec.CopyIn = append(r.spec.CopyIn, sandbox.CopyIn{Source: source, Target: "/" + target})
	return nil
}

// addCopyOut reads SRC[:DST], DST being what follows the last colon.
func (r *request) addCopyOut(value string) error {
	c := sandbox.CopyOut{Source: value}
	if i := strings.LastIndexByte(value, ':'); i >= 0 {
		if c.Source, c.Target = value[:i], value[i+1:]; c.Target == "" {
			return errors.New(quote(value) + " has no DST behind the colon; want SRC[:DST]")
		}
	}
	if c.Source == "" {
		return errors.New(quote(value) + " has no SRC; want SRC[:DST]")
	}
	r.spec.CopyOut = append(r.spec.CopyOut, c)
	return nil
}
