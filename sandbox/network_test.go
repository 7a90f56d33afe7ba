package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/tests/lane"
)

// fakeNetwork is a network that does what the test says.
type fakeNetwork struct {
	usesInit         bool
	attach           func() error
	detached, closed int
}

func (n *fakeNetwork) Prepare(context.Context, *os.File) (hosts, resolv string, err error) {
	return "192.0.2.1 pinned\n", "nameserver 192.0.2.2\n", nil
}

func (n *fakeNetwork) UsesInit() bool { return n.usesInit }

func (n *fakeNetwork) Attach(_ context.Context, _ int, user, net, filter *os.File) (func() (json.RawMessage, error), error) {
	for _, f := range []*os.File{user, net, filter} {
		if _, err := f.Stat(); err != nil {
			return nil, err
		}
	}
	if err := n.attach(); err != nil {
		return nil, err
	}
	return func() (json.RawMessage, error) { n.detached++; return json.RawMessage(`{"counted":1}`), nil }, nil
}

func (n *fakeNetwork) Close() error { n.closed++; return nil }

// marking is a job that leaves a mark where the test can see it.
func marking(t *testing.T, n *fakeNetwork) (c *Cmd, mark string) {
	t.Helper()
	dir := t.TempDir()
	c = Command("sh", "-c", "echo ran >/out/mark; tail -n1 /etc/hosts; cat /etc/resolv.conf")
	c.CWD = CWDNone
	c.Binds = []Bind{{Source: dir, Target: "/out", Writable: true}}
	c.Network = n
	return c, filepath.Join(dir, "mark")
}

// The job is not even forked before its network is in force. Init waits for
// that at once, or makes the root meanwhile.
func TestNetworkComesFirst(t *testing.T) {
	lane.Require(t, "userns", "proc", "netfilter")
	for name, usesInit := range map[string]bool{"meanwhile": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			var configured time.Duration
			n := &fakeNetwork{usesInit: usesInit}
			c, mark := marking(t, n)
			n.attach = func() error {
				stamp := c.run.proc.Stamp
				for stamp(stampAwaitNet) == 0 { // as far as init comes without us
					runtime.Gosched()
				}
				assert.Equal(t, usesInit, stamp(stampRoot) == 0, "the root is there")
				assert.Zero(t, stamp(stampFork))
				assert.NoFileExists(t, mark)
				configured = limits.Now()
				return nil
			}
			require.NoError(t, c.Start(t.Context()))
			assert.GreaterOrEqual(t, c.run.proc.Stamp(stampFork), configured)
			r, err := c.Wait()
			require.NoError(t, err)
			assert.Equal(t, Exited, r.Verdict)
			assert.FileExists(t, mark)
			assert.JSONEq(t, `{"counted":1}`, string(r.Network))
			assert.Equal(t, []int{1, 1}, []int{n.detached, n.closed})
			assert.Positive(t, r.Startup.Network)
		})
	}
}

// A network that cannot be had is the end of the launch, and one that can be
// had is given back when the launch fails for another reason.
func TestNetworkFails(t *testing.T) {
	lane.Require(t, "userns", "proc", "netfilter")
	for name, usesInit := range map[string]bool{"meanwhile": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			n := &fakeNetwork{usesInit: usesInit, attach: func() error { return errors.New("no such cable") }}
			c, mark := marking(t, n)
			_, err := c.Run(t.Context())
			require.ErrorContains(t, err, "net: no such cable")
			assert.NoFileExists(t, mark)
			assert.Equal(t, []int{0, 1}, []int{n.detached, n.closed})

			n = &fakeNetwork{usesInit: usesInit, attach: func() error { return nil }}
			c, _ = marking(t, n)
			c.Args[0] = "no-such-program"
			_, err = c.Run(t.Context())
			require.ErrorContains(t, err, "exec: ")
			assert.Equal(t, []int{1, 1}, []int{n.detached, n.closed})
		})
	}
}

// A launch that is canceled while the network hangs is canceled, not failed.
func TestNetworkCanceled(t *testing.T) {
	lane.Require(t, "userns", "proc", "netfilter")
	for name, usesInit := range map[string]bool{"meanwhile": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			n := &fakeNetwork{usesInit: usesInit, attach: func() error { cancel(); return ctx.Err() }}
			c, mark := marking(t, n)
			r, err := c.Run(ctx)
			require.NoError(t, err)
			assert.Equal(t, Canceled, r.Verdict)
			assert.NoFileExists(t, mark)
			assert.Equal(t, []int{0, 1}, []int{n.detached, n.closed})
		})
	}
}

// FuzzNetworkEnded: what a network says of its end is found as a decoder would.
func FuzzNetworkEnded(f *testing.F) {
	f.Add("slirp4netns: signal: killed", "slirp")
	f.Add("", `","ended":"x`)
	f.Add("a\"ended\":\"b\x00\xff\u2028<", "\\")
	f.Fuzz(func(t *testing.T, ended, driver string) {
		record := struct {
			Driver string `json:"driver"`
			Ended  string `json:"ended,omitempty"`
		}{driver, ended}
		b, err := json.Marshal(&record)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &record))
		require.Equal(t, record.Ended, networkEnded(b))
		_ = networkEnded(json.RawMessage(ended))
	})
}
