package batch

import (
	"errors"

	"github.com/jailrun/jailrun/sandbox"
)

// copyIn gives the job a file, to be read.
func copyIn(s *sandbox.Spec, source, target string) {
	s.Binds = append(s.Binds, sandbox.Bind{Source: source, Target: target})
}

var errNoOutputs = errors.New("outputs are not supported by this version")

// copyOut takes a file that the job leaves.
func copyOut(*sandbox.Spec, string, string) error { return errNoOutputs }
