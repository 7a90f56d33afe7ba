package main

import (
	"errors"
	"strconv"

	"github.com/jailrun/jailrun/limits"
)

// collectGarbage removes the cgroups that crashed runs left; a run leaves
// nothing else on a host. It is safe beside running ones.
func collectGarbage(say *console, args []string) int {
	if len(args) > 0 {
		return fail(say, "gc takes no arguments", "")
	}
	tree, err := limits.FindSubtree(limits.FindOptions{})
	if errors.Is(err, limits.ErrNotDelegated) {
		return 0 // no run can have made a group here
	}
	if err != nil {
		sayError(say, err)
		return exitFailed
	}
	defer tree.Close()
	swept, err := tree.Sweep()
	if n := len(swept.Removed); n > 0 {
		say.note("removed " + strconv.Itoa(n) + " groups of crashed runs below " + tree.Path())
	}
	if err != nil {
		sayError(say, err)
		return exitFailed
	}
	return 0
}
