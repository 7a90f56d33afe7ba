package batch

import "github.com/jailrun/jailrun/sandbox"

// copyIn gives the job a copy of a file.
func copyIn(s *sandbox.Spec, source, target string) {
	s.CopyIn = append(s.CopyIn, sandbox.CopyIn{Source: source, Target: target})
}

// copyOut takes a copy of a file that the job leaves.
func copyOut(s *sandbox.Spec, source, target string) {
	s.CopyOut = append(s.CopyOut, sandbox.CopyOut{Source: source, Target: target})
}
