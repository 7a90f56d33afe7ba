package userns

import (
	"context"

	"golang.org/x/sys/unix"
)

// Answer is the answer of a probe. The zero value is that there is none.
type Answer uint8

// The answers of a probe.
const (
	Failed Answer = iota // the probe itself failed: nothing is known
	No
	Yes
)

// String is "yes", "no" or "the probe failed".
func (a Answer) String() string {
	switch a {
	case Yes:
		return "yes"
	case No:
		return "no"
	default:
		return "the probe failed"
	}
}

// Probe is one thing tried on this host. Yes always means that nothing needs to be
// done.
type Probe struct {
	Name   string // lower case, stable: scripts look for it
	Answer Answer
	Detail string // what was seen, one line
	Fix    string // what would make it Yes, one line; "" if nothing is known
	Err    error  // why the answer is not Yes, if there was an error
}

// Names of the probes, in their order.
const (
	ProbeNamespaces = "user namespaces"     // one can be made
	ProbeOwnMap     = "own id map"          // and the caller's id mapped: --map self
	ProbeRights     = "rights inside"       // and its root may mount
	ProbeMax        = "max_user_namespaces" // the limit is not 0
	ProbeClone      = "unprivileged_userns_clone"
	ProbeAppArmor   = "apparmor userns" // no restriction, or a profile
	ProbeNewPrivs   = "gaining rights"  // no_new_privs is not set
	ProbeSetgroups  = "setgroups"       // groups can be dropped with --map auto
	ProbeNewuidmap  = "newuidmap"
	ProbeNewgidmap  = "newgidmap"
	ProbeSubIDs     = "subordinate ids"
	ProbeAutoMap    = "subordinate id map" // and written: --map auto
	ProbeBlock      = "block of ids"       // root only
	ProbeIDMap      = "id-mapped mounts"   // root only: of the current directory
)

// Probes tries what this package needs and tells the result in words for a person.
// Each row that can be tried is tried, in a process that is ended at once; settings
// are only read to name a cause. It takes some ten milliseconds and is not for the
// way to a launch. Nothing is remembered, and nothing may be: a filter or a
// profile put on later would make it untrue.
func Probes(ctx context.Context) []Probe {
	p := probes(ctx, thisHost, Files{}, helperDirs)
	if unix.Geteuid() == 0 {
		p = append(p, probeBlock(), probeIDMap(ctx))
	}
	return p
}

func probes(ctx context.Context, h host, f Files, dirs []string) []Probe {
	rights := probeRights(h)
	rows := []Probe{
		probeNamespaces(h),
		probeOwnMap(ctx, h),
		rights,
		probeMax(h),
		probeClone(h),
		probeAppArmor(h, rights.Answer),
		probeNewPrivs(),
		probeSetgroups(h),
		probeHelper(ProbeNewuidmap, dirs),
		probeHelper(ProbeNewgidmap, dirs),
	}
	sub, row := probeSubIDs(f)
	return append(rows, row, probeAutoMap(ctx, h, sub, dirs))
}
