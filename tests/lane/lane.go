// Package lane lets one test source run on every host and in every lane of package vm: a test says what it needs, and
// is skipped where the kernel or the host has it not.
//
//	func TestMemoryLimit(t *testing.T) {
//		lane.Require(t, "cgroup2", "userns")
//
// A skip is a hole in the tests, so skips are never silent: JAILRUN_REQUIRE=cgroup2,userns (or "all") turns the lack of
// a feature into a failure, every skip says why, and the runner (tests/lanes) compares the number of skips in each
// lane with a checked-in table. A probe tries the thing itself and has three outcomes: yes, no (with the reason), or
// the probe failed, which fails the test.
package lane

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Name is the lane in which this process runs: "uml", "qemu", "systemd", or "host" outside of a machine.
func Name() string {
	if name := os.Getenv("JAILRUN_LANE"); name != "" {
		return name
	}
	return "host"
}

// Require skips the test unless the host has every feature named. A feature that JAILRUN_REQUIRE names must be there;
// a name that is no feature, and a probe that fails, fail the test.
func Require(t testing.TB, features ...string) {
	t.Helper()
	var missing []string
	for _, f := range features {
		a := Has(f)
		switch {
		case a.Err != nil:
			t.Fatalf("lane: the probe of %s failed: %v", f, a.Err)
		case a.Yes:
		case required(f):
			t.Fatalf("lane: JAILRUN_REQUIRE names %s, but: %s", f, a.Why)
		default:
			missing = append(missing, f+" ("+a.Why+")")
		}
	}
	if len(missing) > 0 {
		t.Skip("lane " + Name() + " has no " + strings.Join(missing, ", no "))
	}
}

func required(feature string) bool {
	for name := range strings.SplitSeq(os.Getenv("JAILRUN_REQUIRE"), ",") {
		if name == feature || name == "all" {
			return true
		}
	}
	return false
}

// Answer is the outcome of a probe. With Err set nothing is known; otherwise Why says why not, or is empty.
type Answer struct {
	Yes bool
	Why string
	Err error
}

func yes() Answer { return Answer{Yes: true} }

func no(format string, args ...any) Answer { return Answer{Why: fmt.Sprintf(format, args...)} }

func failed(err error) Answer { return Answer{Err: err} }

// Features lists the names that Require knows, sorted.
func Features() []string { return slices.Sorted(maps.Keys(probes())) }

var answers sync.Map // feature: Answer; only what is certain

// Has probes one feature for this process. Answers are kept, failures are not. For concurrent use.
func Has(feature string) Answer {
	if a, ok := answers.Load(feature); ok {
		return a.(Answer)
	}
	probe, ok := probes()[feature]
	if !ok {
		return failed(fmt.Errorf("no such feature; there are %v", Features()))
	}
	a := probe()
	if a.Err == nil {
		answers.Store(feature, a)
	}
	return a
}

// probes is the table of features.
func probes() map[string]func() Answer {
	return map[string]func() Answer{
		"unprivileged":   probeUnprivileged, // this process is not root
		"userns":         probeUserNS,       // user namespaces with a map, in which one may mount
		"proc":           probeProc,         // a new /proc in a new pid namespace (not where /proc is masked)
		"subid":          probeSubID,        // newuidmap and newgidmap with a range for this user
		"nproc":          probeNproc,        // RLIMIT_NPROC counts in each user namespace (Linux 5.14)
		"overlay":        probeOverlay,      // overlay without root on Scratch (Linux 5.11)
		"tmpfs-upper":    probeTmpfsUpper,   // tmpfs has user xattrs, so it can be an upper (Linux 6.6)
		"tun":            probeOpen("/dev/net/tun"),
		"fuse":           probeOpen("/dev/fuse"),
		"netfilter":      probeNetfilter, // nfnetlink, which the rules of a network need
		"landlock":       probeLandlock,
		"yama":           probeOpen("/proc/sys/kernel/yama/ptrace_scope"),
		"apparmor":       probeAppArmor,
		"seccomp":        probeSeccomp,                    // filters with user notification (Linux 5.0)
		"asan":           probeASan,                       // room for the shadow memory of AddressSanitizer
		"proc-syscall":   probeRead("/proc/self/syscall"), // the call in which a process waits
		"psi":            probeRead("/proc/pressure/cpu"), // pressure stall information
		"native":         probeNative,                     // a processor, not an emulation of one
		"smp":            probeSMP,                        // two CPUs
		"swap":           probeSwap,
		"cgroup-any":     probeGroup(),                 // some writable cgroup v2 group, whatever its controllers
		"cgroup2":        probeGroup("memory", "pids"), // a delegated subtree with what limits need
		"cgroup-cpu":     probeGroup("cpu"),
		"cgroup-io":      probeGroup("io"),
		"cpuset":         probeGroup("cpuset"),
		"cgroup.kill":    probeGroupKill,  // Linux 5.14
		"delegation":     probeDelegation, // cgroup2, or userbus to ask for it
		"userbus":        probeUserBus,    // the user's D-Bus, with a systemd user manager on it
		"slirp4netns":    probeProgram("slirp4netns"),
		"fuse-overlayfs": probeProgram("fuse-overlayfs"),
		"pasta":          probeProgram("pasta"),
	}
}
