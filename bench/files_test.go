package bench

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// inTurns runs each variant once per round, so that what disturbs the machine
// disturbs all, and returns the least of each: on a machine with other work the
// median is that work's.
func inTurns(b *testing.B, variants ...func() time.Duration) []time.Duration {
	times := make([][]time.Duration, len(variants))
	for b.Loop() {
		for i, f := range variants {
			times[i] = append(times[i], f())
		}
	}
	least := make([]time.Duration, len(variants))
	for i, t := range times {
		slices.Sort(t)
		least[i] = t[0]
	}
	return least
}

// launch returns how long a start takes, to the release of the job's execve.
func launch(b *testing.B, change func(*sandbox.Cmd)) func() time.Duration {
	return func() time.Duration {
		c := sandbox.Command("/bin/true")
		c.CWD = sandbox.CWDNone
		change(c)
		r, err := c.Run(b.Context())
		require.NoError(b, err)
		require.Equal(b, sandbox.Exited, r.Verdict, r.Cause)
		return r.Setup
	}
}

// trueRoot is a root that holds /bin/true and what it is linked with.
func trueRoot(b *testing.B, dir string) {
	out, err := exec.Command("ldd", "/bin/true").Output()
	require.NoError(b, err)
	for _, f := range append(bytes.Fields(out), []byte("/bin/true")) {
		name := string(f)
		if name[0] != '/' {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(b, err)
		require.NoError(b, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(b, os.WriteFile(filepath.Join(dir, name), text, 0o755))
	}
}

// BenchmarkRoot measures what layers and binds add to a start.
func BenchmarkRoot(b *testing.B) {
	lane.Require(b, "tmpfs-upper")
	base := lane.Scratch(b)
	root, data := filepath.Join(base, "root"), filepath.Join(base, "data")
	trueRoot(b, root)
	require.NoError(b, os.Mkdir(data, 0o755))
	const many = 20
	var layers []string
	for i := range many {
		dir := filepath.Join(base, "layer", strconv.Itoa(i))
		require.NoError(b, os.MkdirAll(filepath.Join(dir, "opt"), 0o755))
		layers = append(layers, dir)
	}
	binds := func(n int, sockets bool) (list []sandbox.Bind) {
		for i := range n {
			list = append(list, sandbox.Bind{Source: data, Target: "/b" + strconv.Itoa(i), Sockets: sockets})
		}
		return list
	}
	b.Run("layers", func(b *testing.B) {
		m := inTurns(b,
			launch(b, func(c *sandbox.Cmd) { c.Rootfs = root }),
			launch(b, func(c *sandbox.Cmd) { c.Rootfs, c.Layers = root, layers }))
		b.ReportMetric(float64(m[1]-m[0])/many/1e3, "µs/layer")
		b.ReportMetric(float64(m[0])/1e3, "µs/start")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("binds", func(b *testing.B) {
		m := inTurns(b,
			launch(b, func(*sandbox.Cmd) {}),
			launch(b, func(c *sandbox.Cmd) { c.Binds = binds(many, false) }),
			launch(b, func(c *sandbox.Cmd) { c.Binds = binds(many, true) }))
		b.ReportMetric(float64(m[1]-m[0])/many/1e3, "µs/bind")
		b.ReportMetric(float64(m[2]-m[0])/many/1e3, "µs/bind-with-sockets")
		b.ReportMetric(float64(m[0])/1e3, "µs/start")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("overlay-and-volumes", func(b *testing.B) {
		m := inTurns(b,
			launch(b, func(*sandbox.Cmd) {}),
			launch(b, func(c *sandbox.Cmd) {
				c.Dir, c.CWD, c.Binds = data, sandbox.CWDCopy, binds(3, false)
				c.Tmpfs = []sandbox.Tmpfs{{Target: "/scratch", Size: 1 << 20}}
			}),
			launch(b, func(c *sandbox.Cmd) { c.Rootfs = root }))
		b.ReportMetric(float64(m[1]-m[0])/1e3, "µs/cow+3-binds+tmpfs")
		b.ReportMetric(float64(m[2]-m[0])/1e3, "µs/rootfs-for-host")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkCopyOut compares copying small files out of a sandbox with cp -r of
// the same files. Both take a time for each file, so the number does not matter
// beyond the start of cp; with 2000 a turn is short enough that many fit into a
// minute.
func BenchmarkCopyOut(b *testing.B) {
	const files = 2000
	base := lane.Scratch(b)
	source := filepath.Join(base, "source")
	for i := range files {
		dir := filepath.Join(source, strconv.Itoa(i/500))
		require.NoError(b, os.MkdirAll(dir, 0o755))
		require.NoError(b, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), bytes.Repeat([]byte("x"), 1000), 0o644))
	}
	n := 0
	name := func() string { n++; return filepath.Join(base, "to"+strconv.Itoa(n)) }
	run := func(out bool) func() time.Duration {
		return func() time.Duration {
			c := sandbox.Command("/bin/true")
			c.CWD = sandbox.CWDNone
			c.CopyIn = []sandbox.CopyIn{{Source: source, Target: "/tmp/out"}}
			to := name()
			c.CopyOut = []sandbox.CopyOut{{Source: "/tmp/out/0/0", Target: to}}
			if out {
				c.CopyOut[0].Source = "/tmp/out"
			}
			began := time.Now()
			r, err := c.Run(b.Context())
			took := time.Since(began)
			require.NoError(b, err)
			require.Equal(b, out, r.Collected[0].Files == files)
			require.NoError(b, os.RemoveAll(to))
			return took
		}
	}
	m := inTurns(b, run(true), run(false), func() time.Duration {
		to := name()
		began := time.Now()
		require.NoError(b, exec.Command("cp", "-r", source, to).Run())
		took := time.Since(began)
		require.NoError(b, os.RemoveAll(to))
		return took
	})
	out := m[0] - m[1]
	b.ReportMetric(float64(m[2])/float64(out), "×cp-r")
	b.ReportMetric(float64(out)/files/1e3, "µs/file-out")
	b.ReportMetric(float64(m[1])/files/1e3, "µs/file-in")
	b.ReportMetric(float64(m[2])/files/1e3, "µs/file-cp")
	b.ReportMetric(0, "ns/op")
}
