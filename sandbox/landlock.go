package sandbox

import (
	"encoding/binary"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// Decision: the Landlock domain of a job holds what the other walls hold, by
// another part of the kernel, and costs a launch 15 µs:
//
//   - no mount, umount or pivot_root, whatever capabilities a process obtains
//     (security/landlock/fs.c, hook_sb_mount): what a hole in user namespaces
//     would be used for;
//   - no ptrace and no /proc/PID/mem of a process outside the domain, so not of
//     init (security/landlock/task.c);
//   - no device node (whiteouts count as files on some kernels);
//   - no signal to a process and no abstract UNIX socket outside the domain
//     (Landlock ABI 6, Linux 6.12): the wall behind the pid and network
//     namespaces, and the only one where the job shares the host's network.
//
// Rules that repeat the layout of the mounts are left out. All that is writable
// inside is a tmpfs or an overlay of the job's own or was given to it; the rest
// is a read-only mount, and a rule for it would name the same trees again.
// It would be paid for at every open by a walk to the root.

const (
	landlockMakeChar  = 1 << 6
	landlockMakeBlock = 1 << 11
	landlockRefer     = 1 << 13 // ABI 2: link and rename across directories
	landlockAbstract  = 1 << 0  // of the scopes, ABI 6
	landlockSignal    = 1 << 1

	// minLandlock: version 1 forbids every rename across directories.
	minLandlock    = 2
	scopedLandlock = 6
)

// landlockABI is which version the kernel has; 0 for none. An error means that
// the probe failed: something else refused the call.
func landlockABI() (int, error) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return int(abi), nil
	case unix.ENOSYS, unix.EOPNOTSUPP:
		return 0, nil // built without, or not among the lsm= of the boot
	}
	return 0, os.NewSyscallError("landlock_create_ruleset", errno)
}

// appendLandlock adds the job's domain. It stands before the job's streams are
// put into place: until then 0 is free, and a rule names its directory by
// number. It is a wall of the kernel's that not every kernel has: where it is
// absent the result says so, where it cannot be told the launch fails.
func (pl *Plan) appendLandlock(s *Spec, f *facts) error {
	const wall = "landlock"
	switch {
	case f.landlockErr != nil:
		return pl.lack(s, wall, "cannot be told: "+f.landlockErr.Error(), true)
	case f.landlock == 0:
		return pl.lack(s, wall, "this kernel has none", s.requires(wall))
	case f.landlock < minLandlock:
		return pl.lack(s, wall, "ABI 1 of this kernel would forbid every rename across directories", s.requires(wall))
	}
	p := pl.Program
	add := func(steps ...prog.Step) { p.AddJob(prog.StageConfine, steps...) }
	ruleset, root := p.Slot("ruleset"), p.Slot("root")
	attr, text, held := landlockRuleset(f.landlock)
	rule := make([]byte, 12) // struct landlock_path_beneath_attr {u64 allowed; s32 parent_fd = 0} packed
	binary.NativeEndian.PutUint64(rule, landlockRefer)
	add(
		prog.Call("landlock_create_ruleset", unix.SYS_LANDLOCK_CREATE_RULESET, prog.Data(attr, text), prog.Int(len(attr)), prog.Int(0)).Save(ruleset),
		prog.Open("/", unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY", 0, root),
		prog.Dup(root, 0, unix.O_CLOEXEC, "O_CLOEXEC"),
		prog.Call("landlock_add_rule", unix.SYS_LANDLOCK_ADD_RULE, prog.Fd(ruleset), prog.Bits(1, "LANDLOCK_RULE_PATH_BENEATH"),
			prog.Data(rule, "{REFER, 0}"), prog.Int(0)).Because("rename across directories stays allowed"),
		prog.Call("landlock_restrict_self", unix.SYS_LANDLOCK_RESTRICT_SELF, prog.Fd(ruleset), prog.Int(0)).
			Because("no mount, no device node, nothing of a process outside"),
		prog.Close(ruleset), prog.Close(root),
	)
	pl.walls = append(pl.walls, Wall{Name: wall, Evidence: "ABI " + strconv.Itoa(f.landlock) + ": " + held})
	return nil
}

// landlockRuleset is struct landlock_ruleset_attr as far as an ABI knows it.
func landlockRuleset(abi int) (attr []byte, text, held string) {
	attr = make([]byte, 24) // handled_access_fs, handled_access_net, scoped
	binary.NativeEndian.PutUint64(attr, landlockMakeChar|landlockMakeBlock|landlockRefer)
	text, held = "{MAKE_CHAR|MAKE_BLOCK|REFER}", "no mounts, no device nodes, no ptrace beyond the job"
	if abi < scopedLandlock {
		return attr[:8], text, held
	}
	binary.NativeEndian.PutUint64(attr[16:], landlockAbstract|landlockSignal)
	return attr, "{MAKE_CHAR|MAKE_BLOCK|REFER, scoped: ABSTRACT_UNIX_SOCKET|SIGNAL}",
		held + ", no signals and abstract sockets beyond it"
}
