package batch

import (
	"errors"

	"github.com/jailrun/jailrun/sandbox"
)

func (a *attempt) interact() (*sandbox.Result, error) {
	return nil, errors.New("interact is not supported by this version")
}

// An Interaction is what the programs of a job said to each other.
type Interaction struct{}

// Replay names what a run can be repeated by.
type Replay struct{}
