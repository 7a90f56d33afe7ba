package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
)

// repository makes what git would, as far as it matters here.
func repository(t *testing.T, git string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(git, "hooks"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(git, "objects"), 0o755))
	for _, name := range []string{"config", "HEAD", "hooks/sample"} {
		require.NoError(t, os.WriteFile(filepath.Join(git, name), []byte("good\n"), 0o644))
	}
}

// TestGitIsProtected is row A104: a job that may write to a directory cannot
// change what git will execute or obey there, whatever it moves away.
func TestGitIsProtected(t *testing.T) {
	const attack = `
		echo evil >> .git/config; echo evil > .git/hooks/post-checkout; echo evil > .git/hooks/sample
		mv .git/config .git/c; mv .git/hooks .git/h; rm -rf .git/hooks; mv .git g; mkdir .git; mkdir .git/hooks; echo evil > .git/hooks/x
		echo evil > .git/modules/m/config; mv .git/modules/m .git/modules/n; mv .git/modules x
		rm -f .git/config; ln -sf evil .git/config; chmod 777 .git/hooks/sample; true`
	dir := t.TempDir()
	repository(t, filepath.Join(dir, ".git"))
	repository(t, filepath.Join(dir, ".git", "modules", "m"))
	for _, tt := range []struct {
		name string
		use  func(*sandbox.Cmd)
	}{
		{"cwd", func(c *sandbox.Cmd) { c.Dir, c.CWD = dir, sandbox.CWDWritable }},
		{"bind", func(c *sandbox.Cmd) {
			c.Binds, c.Workdir = []sandbox.Bind{{Source: dir, Target: "/data", Writable: true}}, "/data"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, _, errs := shell(t, attack+"; touch new .git/ORIG_HEAD", tt.use)
			require.Equal(t, 0, *res.ExitCode, errs)
			for _, git := range []string{".git", ".git/modules/m"} {
				for _, name := range []string{"config", "hooks/sample"} {
					assert.Equal(t, "good\n", read(t, filepath.Join(dir, git, name)), git+name)
					st, err := os.Lstat(filepath.Join(dir, git, name))
					require.NoError(t, err)
					assert.Equal(t, os.FileMode(0o644), st.Mode())
				}
				list, err := os.ReadDir(filepath.Join(dir, git, "hooks"))
				require.NoError(t, err)
				assert.Len(t, list, 1)
			}
			assert.FileExists(t, filepath.Join(dir, "new"), "the control: the directory is writable")
			assert.FileExists(t, filepath.Join(dir, ".git", "ORIG_HEAD"), "and git works in it")
			assert.Empty(t, res.Notes)
		})
	}
}

// TestGitWithoutHooks: where there are no hooks the job can make none.
func TestGitWithoutHooks(t *testing.T) {
	dir := t.TempDir()
	repository(t, filepath.Join(dir, ".git"))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, ".git", "hooks")))
	shell(t, "mkdir .git/hooks; echo evil > .git/hooks/x", func(c *sandbox.Cmd) { c.Dir, c.CWD = dir, sandbox.CWDWritable })
	assert.NoDirExists(t, filepath.Join(dir, ".git", "hooks"))

	bare := t.TempDir()
	repository(t, bare)
	shell(t, "echo evil > config; echo evil > hooks/x; mv hooks h", func(c *sandbox.Cmd) { c.Dir, c.CWD = bare, sandbox.CWDWritable })
	assert.Equal(t, "good\n", read(t, filepath.Join(bare, "config")))
	assert.NoFileExists(t, filepath.Join(bare, "hooks", "x"))

	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, ".git"), []byte("gitdir: /good\n"), 0o644))
	shell(t, "echo gitdir: /work/evil > .git; rm -f .git; mv .git g", func(c *sandbox.Cmd) { c.Dir, c.CWD = tree, sandbox.CWDWritable })
	assert.Equal(t, "gitdir: /good\n", read(t, filepath.Join(tree, ".git")))
}

// TestGitElsewhere: submodules whose names hold a slash, submodules of
// submodules, and the file of a worktree's own configuration that is not there.
func TestGitElsewhere(t *testing.T) {
	dir := t.TempDir()
	modules := filepath.Join(dir, ".git", "modules")
	for _, git := range []string{filepath.Join(dir, ".git"), modules + "/m", modules + "/m/modules/n", modules + "/lib/x"} {
		repository(t, git)
	}
	const attack = `for m in m m/modules/n lib/x; do echo evil > .git/modules/$m/config; echo evil > .git/modules/$m/hooks/new; done
		mv .git/modules/lib .git/modules/l; echo evil > .git/config.worktree; touch .git/modules/m/HEAD; true`
	writable := func(c *sandbox.Cmd) { c.Dir, c.CWD = dir, sandbox.CWDWritable }
	shell(t, attack, writable)
	for _, m := range []string{"m", "m/modules/n", "lib/x"} {
		assert.Equal(t, "good\n", read(t, filepath.Join(modules, m, "config")), m)
		assert.NoFileExists(t, filepath.Join(modules, m, "hooks/new"), m)
	}
	assert.FileExists(t, filepath.Join(dir, ".git/config.worktree"), "the control: git does not obey it")

	require.NoError(t, os.Remove(filepath.Join(dir, ".git/config.worktree")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".git/config"), []byte("[extensions]\nworktreeConfig=true\n"), 0o644))
	shell(t, attack, writable)
	assert.NoFileExists(t, filepath.Join(dir, ".git/config.worktree"))
}

// TestGitTraps: of what makes git look elsewhere the caller is told.
func TestGitTraps(t *testing.T) {
	for script, want := range map[string]string{
		"mkdir .git":                   "/.git: ",
		"echo ../evil >.git/commondir": "/.git/commondir: ",
		"rm .git/HEAD; mkdir objects refs; echo ref: refs/heads/x >HEAD": "/HEAD: ",
		"echo x >.git/ORIG_HEAD": "",
	} {
		t.Run(script, func(t *testing.T) {
			dir := t.TempDir()
			if !strings.HasPrefix(script, "mkdir .git") {
				repository(t, filepath.Join(dir, ".git"))
			}
			res, _, errs := shell(t, script, func(c *sandbox.Cmd) { c.Dir, c.CWD = dir, sandbox.CWDWritable })
			require.Equal(t, 0, *res.ExitCode, errs)
			if want == "" {
				assert.Empty(t, res.Notes)
				return
			}
			require.Len(t, res.Notes, 1)
			assert.Contains(t, res.Notes[0], "the job has made "+dir+want)
		})
	}
}

// TestGitUnseen: a directory in which a .git cannot be looked for is refused: the
// job, as its owner, could open it and write there.
func TestGitUnseen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "closed")
	require.NoError(t, os.Mkdir(dir, 0o600))
	run := func() (*sandbox.Result, error) {
		c := sandbox.Command("/bin/true")
		c.CWD, c.Binds = sandbox.CWDNone, []sandbox.Bind{{Source: dir, Target: "/data", Writable: true}}
		return c.Run(t.Context())
	}
	_, err := run()
	var field *sandbox.FieldError
	require.ErrorAs(t, err, &field)
	assert.ErrorIs(t, err, os.ErrPermission)
	assert.ErrorContains(t, err, ".git")

	require.NoError(t, os.Chmod(dir, 0o700))
	res, err := run()
	require.NoError(t, err, "the control")
	assert.Equal(t, sandbox.Exited, res.Verdict)
}
