package net

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	requires "github.com/stretchr/testify/require"
)

// The host's loopback is open where the list names it, and nowhere else: libslirp
// shows it under every address of the job's network, and a private range that
// holds that is not the host.
func TestHostLoopback(t *testing.T) {
	require(t)
	t.Parallel()
	for _, port := range []string{"18200", "18201"} {
		l, err := net.Listen("tcp4", "127.0.0.1:"+port)
		requires.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		go accept(l)
	}
	const named, other, elsewhere = "tcp=10.0.2.2:18200", "tcp=10.0.2.2:18201", "tcp=10.0.2.9:18200"
	list := func(names ...string) (flags []string) {
		for _, n := range names {
			flags = append(flags, "--net-allow", n)
		}
		return flags
	}
	for _, driver := range []string{"slirp", "slirp:rootlesskit"} {
		for _, c := range []struct {
			name  string
			flags []string
			open  bool
		}{
			{"no list", nil, false},
			{"named", list("10.0.2.2:18200/tcp"), true},
			{"in a range", list("10.0.0.0/8"), false},
			{"in a range, and a UDP port is published", append(list("10.0.0.0/8"), "--publish", "18202:9/udp"), false},
			{"named, and in a range", list("10.0.0.0/8", "10.0.2.2:18200"), true},
		} {
			if driver != "slirp" && len(c.flags) > 2 { // the host has the port once
				continue
			}
			t.Run(driver+", "+c.name, func(t *testing.T) {
				t.Parallel()
				got, r := job(t, append([]string{"--net", driver}, c.flags...), named, other, elsewhere)
				if c.open {
					assert.Equal(t, "ok", got[named])
					assert.Contains(t, r.Network.Note, "10.0.2.2")
				} else {
					assert.Equal(t, "connection refused", got[named])
				}
				assert.Equal(t, "connection refused", got[other])
				assert.Equal(t, "connection refused", got[elsewhere])
			})
		}
	}
}
