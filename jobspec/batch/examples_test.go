package batch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/schedule"
)

// copied makes a copy of a directory of examples that the test's user may
// read, and the options to run a job file in it.
func copied(t *testing.T, dir, file string) Options {
	t.Helper()
	to := t.TempDir()
	require.NoError(t, os.CopyFS(to, os.DirFS(filepath.Join("../testdata", dir))))
	load := jobspec.Options{FS: os.DirFS(to), Host: here(to)}
	budget, err := schedule.Machine(os.DirFS("/"))
	require.NoError(t, err)
	o := Options{Load: load, Budget: budget, State: filepath.Join(t.TempDir(), "state")}
	o.Batch, err = jobspec.Load(file, load)
	require.NoError(t, err)
	return o
}

func tools(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			t.Skip("the example needs " + n)
		}
	}
}

// TestClass judges 20 submissions in four languages over 10 tests.
func TestClass(t *testing.T) {
	tools(t, "gcc", "javac", "jar", "/usr/bin/python3", "/usr/local/go/bin/go")
	o := copied(t, "class", "class.yaml")
	got := map[string]jobspec.Code{}
	s, err := Run(t.Context(), o)
	require.NoError(t, err)
	for i, j := range o.Batch.Jobs {
		sub := strings.TrimSuffix(j.Family, "-build") + "/" + j.Axes["sub"]
		if c := s.Outcomes[i].Code; c != jobspec.Skipped && (got[sub] == "" || got[sub] == jobspec.Accepted) {
			got[sub] = c
		}
	}
	assert.Equal(t, map[string]jobspec.Code{
		"c/ok": "AC", "c/wa_int": "WA", "c/ce": "CE", "c/re_null": "RE", "c/re_abort": "RE", "c/tle": "TLE",
		"python/ok1": "AC", "python/ok2": "AC", "python/wa_zero": "WA", "python/wa_format": "WA", "python/tle_loop": "TLE",
		"python/tle_sleep": "TLE", "python/mle": "MLE", "python/re_index": "RE", "python/re_exit": "RE", "python/ole": "OLE",
		"python/ok_slow": "AC", "java/ok": "AC", "java/wa": "WA", "go/": "AC",
	}, got)
}

func TestCI(t *testing.T) {
	tools(t, "bash")
	t.Setenv("CI_SECRET", "x") // which no job sees
	o := copied(t, "ci", "ci.yaml")
	s, err := Run(t.Context(), o)
	require.NoError(t, err)
	for i, j := range o.Batch.Jobs {
		assert.EqualValues(t, "AC", s.Outcomes[i].Code, "%s: %s", j.ID, s.Outcomes[i].Message)
	}
}

// TestExamples runs what `jailrun spec example` prints.
func TestExamples(t *testing.T) {
	t.Parallel()
	tools(t, "bash", "cc")
	for name, text := range jobspec.Examples() {
		if name == "ci" {
			continue // of a checkout; TestCI has one
		}
		o := prepared(t, t.TempDir(), text)
		s, err := Run(t.Context(), o)
		require.NoError(t, err)
		for i, j := range o.Batch.Jobs {
			assert.EqualValues(t, "AC", s.Outcomes[i].Code, "%s: %s: %s", name, j.ID, s.Outcomes[i].Message)
		}
	}
}
