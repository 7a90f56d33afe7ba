package problem

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/jailrun/jailrun/jobspec"
)

// A Submission is one program to be judged.
type Submission struct {
	Program
	Name   string         // as it is shown
	Expect []jobspec.Code // verdicts that its directory allows; nil for one that is not of the package
}

// directories are what submissions/ has, with the verdicts that each allows.
var directories = [...]struct {
	name   string
	expect []jobspec.Code
}{
	{"accepted", []jobspec.Code{"AC"}},
	{"wrong_answer", []jobspec.Code{"WA"}},
	{"time_limit_exceeded", []jobspec.Code{"TLE"}},
	{"run_time_error", []jobspec.Code{"RE", "MLE"}},
	{"memory_limit_exceeded", []jobspec.Code{"MLE"}},
	{"output_limit_exceeded", []jobspec.Code{"OLE"}},
	{"compiler_error", []jobspec.Code{"CE"}},
	{"rejected", []jobspec.Code{"WA", "TLE", "RE", "MLE", "OLE", "CE"}},
}

func (p *Package) submissions(fsys fs.FS) error {
	for _, dir := range directories {
		entries, err := fs.ReadDir(fsys, path.Join("submissions", dir.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join("submissions", dir.name, e.Name())
			if strings.HasPrefix(e.Name(), ".") || strings.EqualFold(path.Ext(e.Name()), ".md") {
				continue
			}
			program, err := program(fsys, name)
			if err != nil {
				return err
			}
			p.Submissions = append(p.Submissions, Submission{*program, clean(dir.name + "-" + e.Name()), dir.expect})
		}
	}
	return nil
}

// Add adds a submission that is not of the package, by its files in the file
// system of the batch.
func (p *Package) Add(name string, files []string) error {
	l := languageOf(files)
	if l == nil {
		return fmt.Errorf("%s is in no language that is known here: %s", name, known())
	}
	for i := range p.Submissions {
		if p.Submissions[i].Name == clean(name) {
			return fmt.Errorf("two submissions are called %s", name)
		}
	}
	p.Submissions = append(p.Submissions, Submission{Program: Program{files, l}, Name: clean(name)})
	return nil
}
