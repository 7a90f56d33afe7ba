package fs

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox/prog"
)

func TestSensitive(t *testing.T) {
	for dir, want := range map[string]string{
		"/":                    "the root directory",
		"/home":                "above home directories",
		"/home/me":             "a home directory",
		"/home/other":          "a home directory",
		"/home/other/.ssh":     "a dot directory of a home",
		"/home/me/.config/x":   "a dot directory of a home",
		"/home/me/src":         "",
		"/home/me/src/.git":    "",
		"/export/u/me":         "a home directory",
		"/export/u":            "above a home directory",
		"/export/u/me/.gnupg":  "a dot directory of a home",
		"/export/u/me2":        "",
		"/etc":                 "in /etc",
		"/etcetera":            "",
		"/usr/share/doc":       "in /usr",
		"/root/x":              "in /root",
		"/srv/tools":           "a directory that holds /srv/tools/bin/jailrun",
		"/srv/tools/bin":       "a directory that holds /srv/tools/bin/jailrun",
		"/srv/tools/bin/other": "",
		"/tmp/x":               "",
	} {
		homes := []string{"/home/me"}
		if strings.HasPrefix(dir, "/export") {
			homes = []string{"/export/u/me"}
		}
		for _, home := range homes {
			assert.Equal(t, want, Sensitive(dir, home, []string{"/srv/tools/bin/jailrun", ""}), dir)
		}
	}
	assert.Empty(t, Sensitive("/srv/x", "", nil))
}

func TestExposing(t *testing.T) {
	for dir, exposed := range map[string]bool{
		"/": true, "/etc": true, "/home": true, "/home/me": true, "/home/me/.ssh": true, "/root": true, "/proc/1": true,
		"/run/docker.sock": true, "/dev": true, "/sys": true, "/var": true,
		"/usr": false, "/usr/share/dict": false, "/etc/ssl": false, "/home/me/data": false, "/srv": false, "/opt/x": false,
	} {
		assert.Equal(t, exposed, Exposing(dir, "/home/me") != "", dir)
	}
}

func TestClean(t *testing.T) {
	for target, want := range map[string]struct {
		name string
		ok   bool
	}{
		"/data": {"/data", true}, "/data//x/../y": {"/data/y", true}, "/etc/motd": {"/etc/motd", true}, "/process": {"/process", true},
		"": {"", false}, "data": {"", false}, "/": {"/", false}, "/..": {"/", false}, "/proc": {"/proc", false},
		"/proc/self/fd/7": {"/proc/self/fd/7", false}, "/dev/null": {"/dev/null", false}, "/x/../proc/1": {"/proc/1", false},
	} {
		name, ok := Clean(target)
		assert.Equal(t, want.name, name, target)
		assert.Equal(t, want.ok, ok, target)
	}
}

// TestSurvey looks at the machine the test runs on.
func TestSurvey(t *testing.T) {
	h, err := Survey(true)
	require.NoError(t, err)
	assert.Contains(t, h.Trees, Entry{Name: "usr", Dir: true})
	for _, e := range append(h.Trees, h.Etc...) {
		st, err := os.Lstat("/" + e.Name)
		require.NoError(t, err)
		assert.Equal(t, e.Dir, st.IsDir(), e.Name)
		assert.NotContains(t, []string{"etc/passwd", "etc/shadow", "etc/hosts", "etc/machine-id", "etc/hostname"}, e.Name)
	}
	assert.NotEmpty(t, h.Masks)
}

func TestFabricate(t *testing.T) {
	files := map[string]string{}
	for _, f := range Fabricate("box", "/home/job", 1000, 100, Users{}) {
		files[f.Name] = string(f.Content)
	}
	assert.Contains(t, files["passwd"], "job:x:1000:100:job:/home/job:/bin/sh\n")
	assert.Contains(t, files["group"], "job:x:100:\n")
	assert.Contains(t, files["hosts"], "127.0.0.1 localhost box\n")
	assert.Equal(t, "box\n", files["hostname"])
	assert.Empty(t, files["machine-id"])
}

// TestFreshTargets: only what is made by the steps alone is mounted while the
// host is there, and only where no order of mounts counts.
func TestFreshTargets(t *testing.T) {
	for _, tt := range []struct {
		target string
		mode   Mode
		lowers []Lower
		fresh  bool
	}{
		{"/b", ReadOnly, nil, true},
		{"/b/c/d", ReadOnly, nil, true},
		{"/usr2", ReadOnly, nil, true},
		{"/b", Writable, nil, false},
		{"/b", Plain, nil, false},
		{"/bin/x", ReadOnly, nil, false}, // a link of the host's leads to /usr
		{"/usr/x", ReadOnly, nil, false},
		{"/etc/x", ReadOnly, nil, false},
		{"/tmp/x", ReadOnly, nil, false},
		{"/home/job/x", ReadOnly, nil, false},
		{"/work/x", ReadOnly, nil, false},
		{"/other", ReadOnly, nil, false},
		{"/other/x/y", ReadOnly, nil, false},
		{"/other/x", ReadOnly, nil, false},
		{"/b", ReadOnly, []Lower{{Dir: "/srv/root"}}, false},
	} {
		m := Mount{Source: "/srv/a", Target: tt.target, Dir: true, Mode: tt.mode}
		b := builder{r: &Root{
			Host: Host{Trees: []Entry{{Name: "usr", Dir: true}, {Name: "bin", Link: "usr/bin"}}}, Lowers: tt.lowers,
			Work:  Mount{Source: "/srv/w", Target: "/work", Dir: true, Mode: Copy},
			Extra: []Mount{m, {Target: "/other/x", Dir: true}},
		}}
		assert.Equal(t, tt.fresh, b.fresh(&m), tt.target)
	}
}

// TestUsers: what the layers say of users stays, but for the job's home.
func TestUsers(t *testing.T) {
	of := Users{
		Passwd: "root:x:0:0:r:/root:/bin/bash\nweb:x:33:33:web,,:/var/www:/bin/web\nnobody:x:65534:65534::/:/no\nbad\nx:x:-1:0:::\ntwice:x:33:1:::\nalias:x:0:0:::",
		Group:  "root:x:0:\nwww:x:33:web\nstaff:x:50:a,b\n",
	}
	for _, tt := range []struct {
		uid, gid      uint32
		of            Users
		passwd, group string
	}{
		{0, 0, Users{}, "root:x:0:0:root:/h:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", "root:x:0:\nnogroup:x:65534:\n"},
		{7, 8, Users{}, "job:x:7:8:job:/h:/bin/sh\nroot:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", "job:x:8:\nroot:x:0:\nnogroup:x:65534:\n"},
		{0, 0, of, "root:x:0:0:r:/h:/bin/bash\nweb:x:33:33:web,,:/var/www:/bin/web\nnobody:x:65534:65534::/:/no\n", "root:x:0:\nwww:x:33:web\nstaff:x:50:a,b\nnogroup:x:65534:\n"},
		{33, 33, of, "web:x:33:33:web,,:/h:/bin/web\nroot:x:0:0:r:/root:/bin/bash\nnobody:x:65534:65534::/:/no\n", "www:x:33:web\nroot:x:0:\nstaff:x:50:a,b\nnogroup:x:65534:\n"},
	} {
		files := Fabricate("box", "/h", tt.uid, tt.gid, tt.of)
		assert.Equal(t, tt.passwd, string(files[0].Content))
		assert.Equal(t, tt.group, string(files[1].Content))
	}
	long := strings.Repeat("a:x:1:\n", MostUsers)
	assert.LessOrEqual(t, len(WholeLines(long)), MostUsers)
	assert.True(t, strings.HasSuffix(WholeLines(long), "\n"))
}

// TestHostIsGoneFirst: whatever is asked for, no target of the user's is
// touched before the host's root is unmounted, and every source is named
// without following a symbolic link.
func TestHostIsGoneFirst(t *testing.T) {
	for _, lowers := range [][]Lower{nil, {{Dir: "/srv/root"}}, {{Dir: "/srv/store", Names: []string{"a", "b"}}, {Dir: "/srv/layer"}}} {
		var p prog.Program
		r := Root{
			Lowers: lowers, Host: Host{Base: "/tmp"}, Size: 1 << 20, Inodes: 1000, Home: "/home/job",
			Work: Mount{Source: "/srv/w", Target: "/work", Dir: true, Mode: Copy},
			Extra: []Mount{
				{Source: "/srv/a", Target: "/work/a", Dir: true},
				{Source: "/srv/f", Target: "/in/f"},
				{Source: "/srv/b", Target: "/b", Dir: true, Mode: Writable},
				{Target: "/work/t", Dir: true, Size: 1 << 20, Inodes: 10, Area: p.Slot("area")},
			},
			Files: []File{{Name: "/work/x", Content: []byte("x")}},
		}
		r.Append(&p)
		gone := false
		for _, s := range p.Init {
			text := p.Text(s, false)
			gone = gone || strings.HasPrefix(text, `umount2(".", MNT_DETACH)`)
			if strings.Contains(text, `"/work`) || strings.Contains(text, `"/b"`) || strings.Contains(text, `"/in`) {
				assert.True(t, gone, text)
			}
			if strings.Contains(text, `"/srv/`) {
				assert.Contains(t, text, "RESOLVE_NO_SYMLINKS")
				assert.False(t, gone, text)
			}
		}
		assert.True(t, gone)
	}
}
