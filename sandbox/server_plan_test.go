package sandbox

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// TestServerPlan holds the sandbox of fuse-overlayfs.
func TestServerPlan(t *testing.T) {
	for name, tt := range map[string]struct {
		uid int
		b   build
	}{
		"self": {1000, build{identity: identity{uid: idmap.Self(0, 1000), gid: idmap.Self(0, 1000)}}},
		"root": {0, build{hasCgroup: true, identity: identity{written: true, block: true, job: [2]uint32{1000, 1000}}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := aHost(tt.uid)
			f.fuse = &fuseProgram{path: "/usr/bin/fuse-overlayfs", version: "1.10", system: []fs.Entry{{Name: "usr", Dir: true}, {Name: "lib", Link: "usr/lib"}}}
			pl := &Plan{Program: &prog.Program{}, identity: tt.b.identity}
			pl.planServer([]fs.Lower{{Dir: "/srv/root"}, {Dir: "/srv/store", Names: []string{"a", "b"}}}, true, f, tt.b)
			var text strings.Builder
			require.NoError(t, pl.servers[0].program.Print(&text, false))
			golden(t, "server-"+name+".golden", text.String())
			assert.False(t, pl.servers[0].program.Full())
			assert.True(t, pl.fills(), "it cannot be prepared for a pool")
		})
	}
}

// FuzzServerWords: what a server says becomes one printable line, whoever made it
// say so.
func FuzzServerWords(f *testing.F) {
	f.Add("unknown argument ignored: lazytime\nfuse-overlayfs: cannot read lower dirs: Permission denied\n")
	f.Add("\x1b[31m\x00\n\n ;\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		words := serverWords(text)
		assert.Equal(t, printable(words), words)
		assert.NotContains(t, words, "\n")
	})
}
