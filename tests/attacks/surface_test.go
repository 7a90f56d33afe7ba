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
// program may do.
//
//go:embed testdata/cves.txt
var cves string

// surface names for each way in the attempts that stand for it. None of the
// exploits is here, only the calls without which they do not begin.
func surface() map[string][]string {
	return map[string][]string{
		"userns":   {"clone-user", "unshare-user", "clone3-user", "clone-net", "unshare-net", "setns-user", "setns-net", "socket-netlink-netfilter"},
		"ktls":     {"ulp-tls", "ulp-unknown"},
		"bpf":      {"bpf", "bpf-map"},
		"io_uring": {"io-uring-setup", "io-uring-enter", "io-uring-register"},
		"perf":     {"perf-event-open"},
		"af_alg":   {"socket-alg"},
		"vsock":    {"socket-vsock"},
		"msg_oob":  {"oob-send", "oob-receive"},
		"none":     nil, // CVE-2023-4622: splice between UNIX sockets, which programs need
	}
}

// TestSurface: of the holes, all but one need something that is refused.
func TestSurface(t *testing.T) {
	needs(t)
	ways := surface()
	count := map[string]int{}
	total, closed := 0, 0
	for line := range strings.Lines(cves) {
		cve, way, ok := strings.Cut(strings.TrimSpace(line), " ")
		require.True(t, ok && strings.HasPrefix(cve, "CVE-"), line)
		require.Contains(t, ways, way, cve)
		count[way]++
		total++
		if way != "none" {
			closed++
		}
	}
	assert.Equal(t, 79, total)
	assert.Equal(t, 78, closed)
	t.Log("exploited holes by what they need:", count)
	for _, profile := range []string{"default", "judge"} { // strict kills for the first of them
		hostdiff.Here.Each(t, func(t *testing.T, id hostdiff.Identity) {
			run := hostdiff.Here.Run(t, id, []string{"--seccomp", profile}, "/attack", "attacks")
			require.Equal(t, 0, run.Code, run.Stderr)
			got := attack.Parse(run.Stdout)
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
