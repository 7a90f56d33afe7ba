// Package seccomp holds the compiled system call filters of a sandbox.
//
// Three profiles are built in, each a text with a reason for every group in
// profiles/NAME.profile:
//
//	default  build tools and language runtimes work; also debuggers, within the job
//	judge    single programs: no sockets but UNIX, no debugging, no message queues
//	strict   judge, but attempts at a way out kill the process; no file locks
//
// Two more are for what is not the job: Init for pid 1 of a sandbox, and Server
// for fuse-overlayfs where it answers for a root.
//
// What the filters promise:
//
//   - Only native calls pass. Calls through another ABI of the processor (int
//     0x80 and x32 on amd64, arm on arm64) get ENOSYS, under strict they kill;
//     so no rule can be passed by another number for the same call.
//   - A call that no line of the profile names gets ENOSYS, as on a kernel that
//     lacks it: C libraries fall back, and the calls of later kernels are closed.
//   - Arguments are compared on 32 bits, as the kernel reads them.
//   - No new namespace or mount, no set-user-ID file, no io_uring, bpf, key or
//     perf call, no socket of a rare family, no typing into terminals.
//
// What they cannot do: look behind pointers. Calls that keep flags there (clone3,
// openat2) get ENOSYS for this reason; paths are the mounts' business.
//
// Decision: the filters are compiled when the project is built and kept as
// bytes, so that a launch neither parses nor compiles: 1.6 ms with libseccomp
// for each run, against 0.05 ms for loading ready ranges. The price is a check
// that text and bytes agree (TestFiltersMatchProfiles, and gen -check).
//
// Each answer of a filter is one return instruction at its end, once, so that
// a caller may replace one, for example EPERM by SECCOMP_RET_USER_NOTIF.
package seccomp

//go:generate go run -tags gen ./gen

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnknownProfile is returned, wrapped, for a name that is not in Names.
var ErrUnknownProfile = errors.New("unknown seccomp profile")

// Filter returns the compiled filter of a built-in profile for the running
// architecture: an array of struct sock_filter, 8 bytes each, ready for
// SECCOMP_SET_MODE_FILTER without flags. It must be loaded after no_new_privs is
// set and as the last thing before execve.
//
// With noMemfd, memfd_create answers ENOSYS: for runs whose memory is watched
// by sampling resident sets, where the pages of an unmapped memfd do not show.
//
// The profile "none" has no filter: nil and no error. An unknown name, also the
// empty one, is an error that wraps ErrUnknownProfile and lists Names. The
// caller owns the result.
func Filter(profile string, noMemfd bool) ([]byte, error) {
	var filter, watched string
	switch profile {
	case "default":
		filter, watched = filterDefault, filterDefaultNomemfd
	case "judge":
		filter, watched = filterJudge, filterJudgeNomemfd
	case "strict":
		filter, watched = filterStrict, filterStrictNomemfd
	case "none":
		return nil, nil
	default:
		return nil, fmt.Errorf("%w %q (there are %s)", ErrUnknownProfile, profile, strings.Join(Names(), ", "))
	}
	if noMemfd {
		filter = watched
	}
	return []byte(filter), nil
}

// Init returns the filter of pid 1, in the form of Filter: it leaves what a loop
// needs that waits, reaps, passes on signals and reports, and kills on anything
// else. The caller owns the result.
func Init() []byte { return []byte(filterInit) }

// Server returns the filter of fuse-overlayfs, in the form of Filter: it leaves
// files, and neither processes nor sockets. The caller owns the result.
func Server() []byte { return []byte(filterServer) }

// Names returns the names that Filter takes, from the most permissive profile to
// the strictest, and "none".
func Names() []string { return []string{"default", "judge", "strict", "none"} }
