// Package problem makes a batch of a problem package as the ICPC and Kattis
// have it: problem.yaml, data/, submissions/ and output_validators/.
//
// It writes a job file and gives it to the loader of package jobspec, so that a
// package, which may be a stranger's, can ask for nothing that a job file
// cannot.
package problem

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/jailrun/jailrun/jobspec"
)

// A Package is what of a problem package is needed to judge.
type Package struct {
	Name        string
	Interactive bool
	Custom      bool // output_validators judge
	TimeLimit   time.Duration
	TimeNote    string // where the time limit comes from, if the package has none
	MemoryMiB   int
	OutputMiB   int
	CompileTime time.Duration
	Check       jobspec.Check // of the default validator
	Cases       []Case
	Validator   Program
	Submissions []Submission
}

// A Case is one test case; its input is Path + ".in".
type Case struct{ Name, Path string }

// A Program is source files, all of one language.
type Program struct {
	Files    []string // in the file system of the batch
	Language *Language
}

// config is what problem.yaml may say, in its two editions.
type config struct {
	Name           any    `yaml:"name"`
	Type           any    `yaml:"type"`
	Validation     string `yaml:"validation"`
	ValidatorFlags string `yaml:"validator_flags"`
	Limits         struct {
		TimeLimit       float64 `yaml:"time_limit"`
		Memory          int     `yaml:"memory"`
		Output          int     `yaml:"output"`
		CompilationTime int     `yaml:"compilation_time"`
	} `yaml:"limits"`
}

// The defaults of the format.
const (
	defaultMemory  = 2048
	defaultOutput  = 8
	defaultCompile = 60
	defaultTime    = 10 * time.Second
	mostCases      = 20_000
	mostMiB        = 16 << 20 // 16 TiB
)

// Read reads a package. fsys is its directory.
func Read(fsys fs.FS) (*Package, error) {
	text, err := readFile(fsys, "problem.yaml")
	if err != nil {
		return nil, fmt.Errorf("no problem package: %w", err)
	}
	var c config
	if err := yaml.Unmarshal(text, &c); err != nil { // which bounds aliases itself
		return nil, fmt.Errorf("problem.yaml: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("problem.yaml: limits: %w", err)
	}
	p := &Package{
		Name: title(c.Name), MemoryMiB: or(c.Limits.Memory, defaultMemory), OutputMiB: or(c.Limits.Output, defaultOutput),
		CompileTime: time.Duration(or(c.Limits.CompilationTime, defaultCompile)) * time.Second,
	}
	words := strings.Fields(c.Validation + " " + fmt.Sprint(c.Type))
	p.Custom, p.Interactive = slices.Contains(words, "custom"), slices.Contains(words, "interactive")
	if p.Check, err = checkOf(c.ValidatorFlags); err != nil && !p.Custom {
		return nil, fmt.Errorf("problem.yaml: validator_flags: %w", err)
	}
	if err := p.time(fsys, c.Limits.TimeLimit); err != nil {
		return nil, err
	}
	for _, step := range [...]func(fs.FS) error{p.cases, p.validator, p.submissions} {
		if err := step(fsys); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// check refuses what no job can have, and what no number of bytes or of
// nanoseconds can be.
func (c *config) check() error {
	for _, l := range [...]struct {
		name, unit string
		n, most    int
	}{
		{"memory", "MiB", c.Limits.Memory, mostMiB},
		{"output", "MiB", c.Limits.Output, mostMiB},
		{"compilation_time", "seconds", c.Limits.CompilationTime, 3600},
	} {
		if l.n < 0 || l.n > l.most {
			return fmt.Errorf("%s: %d %s; want 1 to %d", l.name, l.n, l.unit, l.most)
		}
	}
	return nil
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const most = 1 << 20
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if len(text) > most {
		return nil, fmt.Errorf("%s: more than 1 MiB", name)
	}
	return text, err
}

// title takes a name, or the first of a map of languages.
func title(name any) string {
	switch n := name.(type) {
	case string:
		return n
	case map[string]any:
		if s, ok := n["en"].(string); ok {
			return s
		}
		for _, v := range n {
			if s, ok := v.(string); ok {
				return s
			}
		}
	}
	return "problem"
}

func or(n, other int) int {
	if n > 0 {
		return n
	}
	return other
}

// time takes the limit from where packages have it.
func (p *Package) time(fsys fs.FS, seconds float64) error {
	if seconds == 0 {
		for _, name := range [...]string{".timelimit", "domjudge-problem.ini"} {
			text, err := readFile(fsys, name)
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				key, value, ini := strings.Cut(strings.TrimSpace(line), "=")
				if !ini {
					value = key
				}
				if !ini || strings.TrimSpace(key) == "timelimit" {
					seconds, _ = strconv.ParseFloat(strings.Trim(value, " '\""), 64)
				}
			}
		}
	}
	switch {
	case seconds == 0:
		p.TimeLimit, p.TimeNote = defaultTime, "the package names no time limit; 10s is taken (--time-limit)"
	case !(seconds >= 0.001 && seconds <= 3600): // nor not-a-number
		return fmt.Errorf("problem.yaml: a time limit of %g seconds", seconds)
	default:
		p.TimeLimit = time.Duration(seconds * float64(time.Second))
	}
	return nil
}

// checkOf is the default validator with its flags: words, letters of either
// case, unless they say otherwise.
func checkOf(flags string) (jobspec.Check, error) {
	c := jobspec.Check{Checker: "tokens", IgnoreCase: true}
	words := strings.Fields(flags)
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "case_sensitive":
			c.IgnoreCase = false
		case "space_change_sensitive":
			c.Checker = "lines"
		case "float_tolerance", "float_absolute_tolerance", "float_relative_tolerance":
			if i++; i == len(words) {
				return c, errors.New(w + " has no number")
			}
			x, err := strconv.ParseFloat(words[i], 64)
			if err != nil || x < 0 || x != x {
				return c, fmt.Errorf("%s %q is no number", w, words[i])
			}
			c.Checker = "floats"
			if w != "float_relative_tolerance" {
				c.Abs = &x
			}
			if w != "float_absolute_tolerance" {
				c.Rel = &x
			}
		default:
			return c, fmt.Errorf("%q is not known", w)
		}
	}
	return c, nil
}

// cases finds data/sample and data/secret with all their groups, in the order
// of their names.
func (p *Package) cases(fsys fs.FS) error {
	for _, top := range [...]string{"data/sample", "data/secret"} {
		err := fs.WalkDir(fsys, top, func(name string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return fs.SkipDir
			case err != nil:
				return err
			case len(p.Cases) > mostCases:
				return fmt.Errorf("more than %d test cases", mostCases)
			}
			stem, input := strings.CutSuffix(name, ".in")
			if d.IsDir() || !input {
				return nil
			}
			if _, err := fs.Stat(fsys, stem+".ans"); err != nil {
				return fmt.Errorf("%s has no answer: %w", name, err)
			}
			short := strings.ReplaceAll(strings.TrimPrefix(stem, "data/"), "/", "-")
			p.Cases = append(p.Cases, Case{clean(short), stem})
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(p.Cases) == 0 {
		return errors.New("data/sample and data/secret hold no NAME.in")
	}
	return nil
}

// clean makes a name that a job can have.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, s)
	return strings.TrimLeft(s, ".-")
}

// validator finds the program in output_validators/.
func (p *Package) validator(fsys fs.FS) error {
	if !p.Custom && !p.Interactive {
		return nil
	}
	p.Custom = true
	for _, dir := range [...]string{"output_validators", "output_validator"} {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			program, err := program(fsys, path.Join(dir, e.Name()))
			if err == nil {
				p.Validator = *program
				return nil
			}
		}
		if program, err := program(fsys, dir); err == nil {
			p.Validator = *program
			return nil
		}
	}
	return errors.New("problem.yaml asks for a validator of its own, and output_validators/ holds none in a language that is known here")
}
