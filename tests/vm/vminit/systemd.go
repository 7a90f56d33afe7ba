package main

import (
	"errors"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

func bootSystem(s wire.Setup) error { return errors.New("todo") }
func agent() error                  { return errors.New("todo") }
