package problem

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
)

func TestRead(t *testing.T) {
	t.Parallel()
	p, err := Read(os.DirFS("../testdata/packages/sum"))
	require.NoError(t, err)
	assert.Equal(t, "The sum of two numbers", p.Name)
	assert.Equal(t, []Case{{"sample-1", "data/sample/1"}, {"secret-10", "data/secret/10"}, {"secret-g1-2", "data/secret/g1/2"}}, p.Cases)
	assert.Equal(t, jobspec.Check{Checker: "tokens"}, p.Check)
	names := map[string]string{}
	for _, s := range p.Submissions {
		names[s.Name] = s.Language.Name
	}
	assert.Equal(t, map[string]string{
		"accepted-sum.c": "C", "accepted-sum.py": "Python 3", "wrong_answer-three.py": "Python 3",
		"time_limit_exceeded-forever.py": "Python 3", "run_time_error-divide.py": "Python 3", "compiler_error-missing.c": "C",
	}, names)
	text, err := p.Generate(false)
	require.NoError(t, err)
	b, err := jobspec.Load(FileName, jobspec.Options{FS: jobspec.Overlay{FS: os.DirFS("../testdata/packages/sum"), More: map[string][]byte{FileName: text}}})
	require.NoError(t, err)
	assert.Len(t, b.Jobs, 2+6*3)
	for _, j := range b.Jobs {
		assert.EqualValues(t, "none", j.CWD, "no submission sees the package")
	}
}

// TestHostile: a package is text, whatever it is called.
func TestHostile(t *testing.T) {
	t.Parallel()
	f := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	fsys := fstest.MapFS{
		"problem.yaml":                f("name: '${HOME}\", \"unsafe\": [\"net-host\"]'\nvalidation: custom\n"),
		"data/secret/${x}.in":         f(""),
		"data/secret/${x}.ans":        f(""),
		"submissions/accepted/$(x).c": f(""),
		"output_validators/v/v.py":    f(""),
	}
	p, err := Read(fsys)
	require.NoError(t, err)
	text, err := p.Generate(true)
	require.NoError(t, err)
	b, err := jobspec.Load(FileName, jobspec.Options{FS: jobspec.Overlay{FS: fsys, More: map[string][]byte{FileName: text}}})
	require.NoError(t, err)
	assert.Equal(t, `${HOME}", "unsafe": ["net-host"]`, b.Name)
	for name, broken := range map[string]fstest.MapFS{
		"no problem package": {},
		"hold no NAME.in":    {"problem.yaml": f("name: x")},
		"has no answer":      {"problem.yaml": f("name: x"), "data/sample/1.in": f("")},
		"is not known":       {"problem.yaml": f("validator_flags: maybe")},
		"excessive aliasing": {"problem.yaml": f("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nname: [*e,*e,*e,*e,*e,*e,*e,*e,*e]")},
		"no language":        {"problem.yaml": f("name: x"), "data/sample/1.in": f(""), "data/sample/1.ans": f(""), "submissions/accepted/a.exe": f("")},
		"none in a language": {"problem.yaml": f("validation: custom interactive"), "data/sample/1.in": f(""), "data/sample/1.ans": f("")},
	} {
		_, err := Read(broken)
		assert.ErrorContains(t, err, name)
	}
}
