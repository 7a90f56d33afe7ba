package net

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	requires "github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/netslirp"
	"github.com/jailrun/jailrun/sandbox"
)

// The network in the process of a program that imports the library.
func TestLibrary(t *testing.T) {
	require(t)
	t.Parallel()
	var out strings.Builder
	c := sandbox.Command("/probe", "tcp="+serverTCP, "tcp="+otherTCP)
	c.CWD = sandbox.CWDNone
	c.Binds = []sandbox.Bind{{Source: filepath.Join(bin, "probe"), Target: "/probe"}}
	allow, err := netslirp.ParseAllow(serverTCP)
	requires.NoError(t, err)
	c.Network = netslirp.New(netslirp.Config{Allow: []netslirp.Allow{allow}})
	c.Stdout = &out
	r, err := c.Run(t.Context())
	requires.NoError(t, err)
	assert.Equal(t, "tcp="+serverTCP+" ok\ntcp="+otherTCP+" connection refused\n", out.String())
	var rec netslirp.Record
	requires.NoError(t, json.Unmarshal(r.Network, &rec))
	assert.Len(t, rec.Sent, 1)
	assert.Len(t, rec.Denied, 1)
}
