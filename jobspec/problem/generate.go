package problem

import (
	"bytes"
	"encoding/json"
	"path"
	"strconv"
	"strings"
	"time"
)

// FileName is the name under which the job file of a package is found in the
// file system of its batch.
const FileName = ".jailrun-judge.json"

// buildSuffix is added to a submission's name for the job that compiles it.
const buildSuffix = "-build"

type fields = map[string]any

// Generate writes the job file. With all, every case is run, else those after
// the first that is not AC are skipped.
func (p *Package) Generate(all bool) ([]byte, error) {
	g := &writer{Package: p, jobs: []any{}}
	if p.Custom {
		g.compile("validator", &p.Validator)
	}
	for i := range p.Submissions {
		g.submission(i, all)
	}
	// A list of pairs keeps the order, which a map of Go's would lose.
	var b bytes.Buffer
	b.WriteString(`{"version": 1, "name": `)
	if err := g.value(&b, p.Name); err != nil {
		return nil, err
	}
	b.WriteString(`, "jobs": {`)
	for i := 0; i < len(g.jobs); i += 2 {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n")
		if err := g.value(&b, g.jobs[i]); err != nil {
			return nil, err
		}
		b.WriteString(": ")
		if err := g.value(&b, g.jobs[i+1]); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n}}\n")
	return b.Bytes(), nil
}

type writer struct {
	*Package
	jobs []any // name, fields, name, fields…
}

// value writes one value. What a package names is text, never a variable.
func (*writer) value(b *bytes.Buffer, v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		b.Write(bytes.ReplaceAll(text, []byte("${"), []byte("$${")))
	}
	return err
}

func (g *writer) add(name string, f fields) { g.jobs = append(g.jobs, name, f) }

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// files puts the sources of a program into the job.
func files(p *Program) fields {
	f := fields{}
	for _, name := range p.Files {
		f["/home/job/"+path.Base(name)] = "@" + name
	}
	return f
}

// compile adds the job that builds a program, if its language wants that.
func (g *writer) compile(name string, p *Program) {
	l := p.Language
	if l.Compile == "" {
		return
	}
	line := strings.ReplaceAll(l.Compile, "MAIN", `"$MAIN"`)
	line = strings.ReplaceAll(line, "$SOURCES", `"$@"`)
	f := fields{
		"step": "compile", "cache": true, "cwd": "none", "file": files(p),
		"run":     append([]string{"sh", "-c", line, "sh"}, p.sources()...),
		"env":     fields{"MAIN": p.main()},
		"outputs": fields{"bin": l.Output}, "wall": seconds(g.CompileTime), "pids": 256, "mem": "2g", "disk": "1g",
	}
	g.add(name, f)
}

// runs are the fields that run a program that was built by the job built.
func runs(p *Program, built string, more ...string) fields {
	f := fields{"run": append(p.run(), more...)}
	if p.Language.Compile == "" {
		f["file"] = files(p)
	} else {
		f["inputs"] = fields{p.Language.Output: built + ".bin"}
	}
	return f
}

func (g *writer) limits(f fields) fields {
	f["mem"], f["output"] = strconv.Itoa(g.MemoryMiB)+"m", strconv.Itoa(g.OutputMiB)+"m"
	f["cpu-time"], f["wall"], f["pids"] = seconds(g.TimeLimit), seconds(2*g.TimeLimit+time.Second), 128
	f["cwd"] = "none"
	return f
}

// submission adds the jobs of one: its build, and its run on every case.
func (g *writer) submission(i int, all bool) {
	s := &g.Submissions[i]
	built := s.Name + buildSuffix
	g.compile(built, &s.Program)
	if g.Interactive {
		g.interaction(s, built)
		return
	}
	f := g.limits(runs(&s.Program, built))
	if !all {
		f["stop-on"] = "failure"
	}
	f["check"] = g.check()
	var list []fields
	for _, c := range g.Cases {
		list = append(list, fields{"name": c.Name, "stdin": c.Path + ".in", "answer": c.Path + ".ans"})
	}
	f["foreach"] = list
	g.add(s.Name, f)
}

func (g *writer) check() any {
	if !g.Custom {
		c := fields{"checker": g.Check.Checker}
		if g.Check.IgnoreCase {
			c["ignore-case"] = true
		}
		if g.Check.Abs != nil {
			c["abs"] = *g.Check.Abs
		}
		if g.Check.Rel != nil {
			c["rel"] = *g.Check.Rel
		}
		return c
	}
	v := runs(&g.Validator, "validator")
	c := fields{"checker": "program", "convention": "kattis", "program": v["run"], "mem": "2g", "wall": "60"}
	for _, k := range [...]string{"inputs", "file"} {
		if v[k] != nil {
			c[k] = v[k]
		}
	}
	return c
}

// interaction adds one job for each case, since the validator is given the
// files of its case.
func (g *writer) interaction(s *Submission, built string) {
	const judge, feedback = "/tmp/judge", "/tmp/feedback"
	for _, c := range g.Cases {
		player := g.limits(runs(&s.Program, built))
		v := g.limits(runs(&g.Validator, "validator", judge+"/input", judge+"/answer", feedback+"/"))
		own, _ := v["file"].(fields)
		if own == nil {
			own = fields{}
		}
		own[judge+"/input"], own[judge+"/answer"] = "@"+c.Path+".in", "@"+c.Path+".ans"
		v["file"], v["tmpfs"] = own, []string{feedback}
		v["cpu-time"], v["wall"] = "60", seconds(2*g.TimeLimit+5*time.Second)
		g.add(s.Name+"-"+c.Name, fields{"interact": fields{
			"judge": "validator", "convention": "kattis",
			"sides": fields{"validator": v, "submission": player},
		}})
	}
}
