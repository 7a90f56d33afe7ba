package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	jfs "github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// stateFor makes a store where sandbox looks for one, on a file system that
// layers can be kept apart on.
func stateFor(t *testing.T) *Store {
	t.Helper()
	lane.Require(t, "userns")
	dir := lane.Scratch(t)
	t.Setenv("XDG_STATE_HOME", dir)
	s, err := Open(jfs.StateDir(os.Geteuid(), ""), Limits{})
	require.NoError(t, err)
	require.False(t, s.flat, "layers can be kept apart on %s", dir)
	t.Cleanup(func() {
		d, err := os.Open(s.Dir)
		require.NoError(t, err)
		defer d.Close()
		require.NoError(t, removeIn(int(d.Fd())))
	})
	return s
}

// hostDirs makes a layer that shows the host's programs, once they are bound.
func hostDirs(t testing.TB, more ...entry) []byte {
	entries := []entry{directory("usr")}
	for _, d := range [...]string{"bin", "lib", "lib64"} {
		if to, err := os.Readlink("/" + d); err == nil {
			entries = append(entries, symlink(d, to))
			continue
		}
		entries = append(entries, directory(d))
	}
	return tarOf(t, append(entries, more...)...)
}

// inImage is a run in an image of hostDirs.
func inImage(rootfs string, args ...string) *sandbox.Cmd {
	c := &sandbox.Cmd{}
	c.Args, c.Rootfs, c.CWD = args, rootfs, sandbox.CWDNone
	for _, d := range [...]string{"/usr", "/bin", "/lib", "/lib64"} {
		if st, err := os.Lstat(d); err == nil && st.IsDir() {
			c.Binds = append(c.Binds, sandbox.Bind{Source: d, Target: d})
		}
	}
	return c
}

func output(t *testing.T, c *sandbox.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, r, err := c.Output(t.Context())
	require.NoError(t, err)
	require.Equal(t, sandbox.Exited, r.Verdict, r.Cause)
	assert.Empty(t, stderr.String())
	return string(out)
}

// TestRunLayers: a job sees what the layers make together, and can change it
// like any tree of its own. That is overlay's doing, so it is tried on every
// kernel: with a writable layer on a file system that has user attributes.
func TestRunLayers(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	base := hostDirs(t, file("data/keep", "0"), file("data/gone", "0"), file("data/dir/low", "0"), file("data/opaque/low", "0"),
		file("data/again/low", "0"), file("data/swap", "a file"), file("data/change", "0"), entry{Header: header("data/sealed/", 0o500)}, file("data/sealed/f", "0"), file("data/plain/f", "0"), hardlink("data/link", "data/keep"))
	l.add("three", "gzip", base,
		tarOf(t, file("data/.wh.gone", ""), file("data/dir/.wh.low", ""), file("data/dir/new", "1"), file("data/opaque/.wh..wh..opq", ""),
			file("data/opaque/new", "1"), file("data/.wh.again", ""), file("data/again/new", "1"), file("data/swap/now", "1")),
		tarOf(t, file("data/change", "2"), file("data/opaque/newer", "2"), file("data/.wh.keep", "")))
	imported(t, s, l.source("three"), Options{Name: "three"})
	const list = `cd /data; find . | LC_ALL=C sort | tr '\n' ' '; cat change opaque/* again/* swap/* link`
	const want = ". ./again ./again/new ./change ./dir ./dir/new ./link ./opaque ./opaque/new ./opaque/newer ./plain ./plain/f ./sealed ./sealed/f ./swap ./swap/now 212110"
	assert.Equal(t, want, output(t, inImage("three", "/bin/sh", "-c", list)))

	l.add("bottom", "", hostDirs(t, file("data/keep", "0"), file("other", "0")), hostDirs(t, file("data/new", "1"), file(".wh..wh..opq", ""), file("data/.wh.x", "")), tarOf(t, file("data/newer", "2")))
	_, m := imported(t, s, l.source("bottom"), Options{Name: "bottom"})
	assert.Len(t, m.Layers, 2)
	assert.Equal(t, "new\nnewer\n", output(t, inImage("bottom", "/bin/sh", "-c", "ls -A /data; test ! -e /other")), "the second layer hides all of the first")

	c := inImage("three", "/bin/sh", "-c", `cd /data
		rm -rf dir opaque again && mkdir dir opaque && ls -A dir opaque && mv plain moved && ls moved && mkdir plain && ls -A plain
		echo more >> change && cat change && ln link other && cat other && rm -r swap && echo x > swap && cat swap`)
	c.Upper = lane.Scratch(t) + "/upper"
	assert.Equal(t, "dir:\n\nopaque:\nf\n2more\n0x\n", output(t, c))
	assert.Equal(t, want, output(t, inImage("three", "/bin/sh", "-c", list)), "the layers are as they were")
}

// TestRunAsImageSays: environment, directory, user and program are the image's
// unless something else is asked for.
func TestRunAsImageSays(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	l.config = map[string]any{
		"Env": []string{"PATH=/usr/bin:/bin", "GREETING=hello", "HOME=/somewhere"}, "WorkingDir": "/not/there", "User": "7:8",
		"Entrypoint": []string{"sh", "-c"}, "Cmd": []string{`echo "$GREETING $HOME $PWD $(id -u):$(id -g)"`},
	}
	l.add("", "", hostDirs(t, file("etc/passwd", "lp:x:7:1:Printer:/var/lp:/bin/lp\nother:x:9:9:::\n"), file("etc/group", "eight:x:8:\n")))
	imported(t, s, l.source(""), Options{Name: "says:latest"})

	c := inImage("says:latest")
	c.CWD = sandbox.CWDAuto
	assert.Equal(t, "hello /somewhere /not/there 7:8\n", output(t, c), "its directory is made")
	c = inImage("says", "/bin/sh", "-c", `echo "$GREETING $HOME $PWD $(id -u)"`)
	c.AddEnv, c.Workdir, c.User = []string{"GREETING=bye"}, "/tmp", "0"
	assert.Equal(t, "bye /somewhere /tmp 0\n", output(t, c))
	c = inImage("says", "/bin/sh", "-c", `id -un; id -gn; getent passwd lp other; echo ~lp`)
	assert.Equal(t, "lp\neight\nlp:x:7:8:Printer:/home/job:/bin/lp\nother:x:9:9:::\n/home/job\n", output(t, c), "its users are there")
	c = inImage("says", "/usr/bin/env")
	c.Env = []string{"ONLY=this"}
	assert.Equal(t, "ONLY=this\n", output(t, c))
}

// TestRunAsImageCannotSay: what the image asks for and cannot have is told as the
// image's, and can be chosen.
func TestRunAsImageCannotSay(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	for tag, tt := range map[string]struct {
		config map[string]any
		reason string
		choose func(*sandbox.Cmd)
	}{
		"user":     {map[string]any{"User": "nosuch"}, `its user "nosuch"`, func(c *sandbox.Cmd) { c.User = "7" }},
		"group":    {map[string]any{"User": "7:nosuch"}, `its user "7:nosuch"`, func(c *sandbox.Cmd) { c.User = "7" }},
		"large-id": {map[string]any{"User": "99999999999"}, `its user "99999999999"`, func(c *sandbox.Cmd) { c.User = "7" }},
		"workdir":  {map[string]any{"WorkingDir": "/proc/x"}, `its working directory "/proc/x"`, func(c *sandbox.Cmd) { c.Workdir = "/tmp" }},
	} {
		l.config = tt.config
		l.add(tag, "", hostDirs(t))
		imported(t, s, l.source(tag), Options{Name: tag})
		c := inImage(tag, "/bin/true")
		c.CWD = sandbox.CWDAuto
		_, err := c.Run(t.Context())
		var field *sandbox.FieldError
		require.ErrorAs(t, err, &field, tag)
		assert.Equal(t, "rootfs", field.Field)
		assert.ErrorContains(t, err, tt.reason)
		c = inImage(tag, "/bin/true")
		c.CWD = sandbox.CWDAuto
		tt.choose(c)
		assert.Empty(t, output(t, c), "the control")
	}
}

// TestRunManyLayers: as many layers as an image may have, on top of each other.
func TestRunManyLayers(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	layers := [][]byte{hostDirs(t)}
	for i := 1; i < jfs.MaxLayers; i++ {
		layers = append(layers, tarOf(t, file(fmt.Sprintf("n/%d", i), ""), file("top", fmt.Sprint(i))))
	}
	l.add("", "", layers...)
	imported(t, s, l.source(""), Options{Name: "many"})
	assert.Equal(t, "126 126\n", output(t, inImage("many", "/bin/sh", "-c", "echo $(ls /n | wc -l) $(cat /top)")))
}

// TestRunNotImported: a name that the store does not have, a file that nobody
// imports, and one that somebody does.
func TestRunNotImported(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	l.add("x", "", hostDirs(t))
	for _, rootfs := range []string{"nosuch", "oci:" + l.dir + ":x"} {
		_, err := inImage(rootfs, "/bin/true").Run(t.Context())
		require.ErrorIs(t, err, jfs.ErrNotImported, rootfs)
		assert.ErrorContains(t, err, rootfs)
	}
	asked := 0
	c := inImage("oci:"+l.dir+":x", "/bin/true")
	c.ImportImage = func(ctx context.Context, source string) (string, error) {
		asked++
		src, err := ParseSource(source)
		require.NoError(t, err)
		got, err := s.Import(ctx, src, Options{Name: "-"})
		require.NoError(t, err)
		return got.ID, nil
	}
	output(t, c)
	assert.Equal(t, 1, asked)

	settle(t, l.dir+"/index.json")
	imported(t, s, l.source("x"), Options{Name: "-"})
	output(t, inImage("oci:"+l.dir+":x", "/bin/true"))
}

// TestRunHoldsImage: nothing of an image goes while a job uses it, and it goes
// when the job has ended.
func TestRunHoldsImage(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	l.add("", "", hostDirs(t))
	got, m := imported(t, s, l.source(""), Options{Name: "held"})
	c := inImage("held", "/bin/sh", "-c", "read x; cat /bin/true > /dev/null && echo whole")
	in, w, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	var out bytes.Buffer
	c.Stdin, c.Stdout = in, &out
	require.NoError(t, c.Start(t.Context()))
	require.NoError(t, s.Remove("held"))
	col, err := s.Collect(nil)
	require.NoError(t, err)
	assert.Equal(t, []string{got.ID}, col.InUse)
	require.NoError(t, w.Close())
	r, err := c.Wait()
	require.NoError(t, err)
	assert.Equal(t, "whole\n", out.String())
	assert.Equal(t, sandbox.Exited, r.Verdict)
	col, err = s.Collect(nil)
	require.NoError(t, err)
	assert.Equal(t, 1, col.Images)
	assert.NoDirExists(t, s.Layers()+"/"+m.Layers[0])
}

// TestRunWhiteoutsOfTheLowestLayer: overlay lists those as names that nobody can
// open. The same layer still hides what is below it in another image.
func TestRunWhiteoutsOfTheLowestLayer(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	hides := hostDirs(t, file("data/.wh.gone", ""), file("data/stays", ""))
	l.add("lowest", "", hides, tarOf(t, file("data/more", "")))
	l.add("higher", "", tarOf(t, file("data/gone", "")), hides)
	got, _ := imported(t, s, l.source("lowest"), Options{Name: "lowest"})
	assert.True(t, got.Flat)
	got, _ = imported(t, s, l.source("higher"), Options{Name: "higher"})
	assert.False(t, got.Flat)
	assert.Equal(t, "more\nstays\n", output(t, inImage("lowest", "/bin/ls", "/data")))
	assert.Equal(t, "stays\n", output(t, inImage("higher", "/bin/ls", "/data")))
	got, _ = imported(t, s, l.source("lowest"), Options{Name: "again"})
	assert.Zero(t, got.Fresh)
}

// TestRunReports: the result names the image's own program.
func TestRunReports(t *testing.T) {
	s := stateFor(t)
	l := newLayout(t)
	l.config = map[string]any{"Cmd": []string{"/bin/true"}}
	l.add("", "", hostDirs(t))
	imported(t, s, l.source(""), Options{Name: "own"})
	r, err := inImage("own").Run(t.Context())
	require.NoError(t, err)
	b, err := json.Marshal(r.Argv)
	require.NoError(t, err)
	assert.Equal(t, `["/bin/true"]`, string(b))
	_, err = inImage("own", "/no/such").Run(t.Context())
	var e *sandbox.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "there is no /no/such in own: check the spelling", e.Hint)
}
