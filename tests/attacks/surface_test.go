package attacks

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/cmd/jailrun-selftest/attack"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/hostdiff"
)

// cves lists the kernel holes with a public exploit in kernelCTF (August 2026)
// and the way in that each exploit's own metadata states, besides what any
// program may do. ltp lists the same for the programs of the Linux Test
// Project's list runtest/cve (August 2026), each by what its source calls.
//
//go:embed testdata/cves.txt
var cves string

//go:embed testdata/ltp.txt
var ltp string

// surface names for each way in the attempts that stand for it. None of the
// exploits is here, only the calls without which they do not begin.
func surface() map[string][]string {
	return map[string][]string{
		"userns":      {"clone-user", "unshare-user", "clone3-user", "clone-net", "unshare-net", "setns-user", "setns-net", "socket-netlink-netfilter"},
		"ktls":        {"ulp-tls", "ulp-unknown"},
		"bpf":         {"bpf", "bpf-map"},
		"io_uring":    {"io-uring-setup", "io-uring-enter", "io-uring-register"},
		"perf":        {"perf-event-open"},
		"af_alg":      {"socket-alg"},
		"vsock":       {"socket-vsock"},
		"msg_oob":     {"oob-send", "oob-receive"},
		"keys":        {"add-key", "keyctl-session", "keyctl-join", "request-key"},
		"packet":      {"socket-packet"},
		"sctp":        {"socket-sctp", "socket-raw"},
		"can":         {"socket-can"},
		"netlink":     {"socket-netlink-crypto", "socket-netlink-netfilter", "socket-netlink-xfrm"},
		"ping":        {"ping"},
		"pty":         {"open-ptmx", "open-pts-ptmx", "open-tty0", "ioctl-setd"},
		"devices":     {"open-snd", "open-sda", "mknod-block"},
		"proc_write":  {"write-self-mem", "write-self-comm", "write-self-coredump_filter"},
		"cgroup":      {"mount-cgroup2", "make-cgroup"},
		"mount":       {"mount-tmpfs", "fsopen"},
		"userfaultfd": {"userfaultfd"},
		"fanotify":    {"fanotify-init"},
		"numa":        {"mbind", "move-pages"},
		"ldt":         {"modify-ldt"},
		"clock":       {"adjtimex"},
		"mode":        {"chmod-setgid", "create-setuid"},
		"none":        nil, // calls that programs need: CVE-2023-4622 of the first list is splice between UNIX sockets
	}
}

// TestSurface is also A41: of the holes known from kernelCTF all but one need
// something that is refused, of those that the Linux Test Project looks for
// three in four.
func TestSurface(t *testing.T) {
	needs(t)
	ways := surface()
	count := func(list string) (total, closed int) {
		by := map[string]int{}
		for line := range strings.Lines(list) {
			f := strings.Fields(line)
			require.True(t, len(f) > 1 && strings.HasPrefix(f[0], "CVE-"), line)
			way := f[len(f)-1]
			require.Contains(t, ways, way, line)
			by[way]++
			total++
			if way != "none" {
				closed++
			}
		}
		t.Log("holes by what they need:", by)
		return total, closed
	}
	total, closed := count(cves)
	assert.Equal(t, []int{79, 78}, []int{total, closed})
	total, closed = count(ltp)
	assert.Equal(t, []int{103, 77}, []int{total, closed})
	for _, profile := range profiles() {
		if profile == "strict" {
			continue // which TestRefused kills for each
		}
		hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
			got := attempts(t, profile, id)
			for way, names := range ways {
				for _, name := range names {
					assert.True(t, attack.Refused(got[name]), "%s under %s: %s: %q", way, profile, name, got[name])
				}
			}
		})
	}
}

// TestOwnFilter is A98: a job may confine itself further, as browsers do.
func TestOwnFilter(t *testing.T) {
	needs(t)
	hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
		run := hostdiff.Here.Run(t, id, nil, "/attack", "abuse", "confine")
		assert.Equal(t, sandbox.Exited, run.Result.Verdict, run.Result.Cause)
		assert.Equal(t, "confined\n", run.Stdout)
	})
}
