package jobspec

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// check makes sure that a job can be carried out, as far as the file tells.
func (l *loader) check(i *Instance) {
	for _, c := range [...]func(*Instance) (string, error){
		l.checkProgram, checkInput, l.checkJudging, checkData, l.checkInteract,
	} {
		if field, err := c(i); err != nil {
			l.failAt(i.entry, field, "%w", err)
			return
		}
	}
	for _, f := range [...]struct{ field, name string }{{"stdin", i.Stdin}, {"answer", i.Answer}} {
		if f.name != "" && f.name != "null" {
			if err := l.regular(f.name); err != nil {
				l.failAt(i.entry, f.field, "%w", err)
			}
		}
	}
	if i.CWD == "" && (i.judged() || i.Cache != nil && *i.Cache) {
		i.CWD = "none" // what lies beside the job file are the answers, and no part of a key
	}
	if _, err := i.Spec(l.options); err != nil {
		l.failSpec(i.entry, err)
	}
}

// failSpec tells an error of Spec, which begins with the field, at its place.
func (l *loader) failSpec(e *entry, err error) {
	field, rest, ok := strings.Cut(err.Error(), ": ")
	if _, known := fieldsOf(reflect.TypeFor[Job]()).byName[field]; ok && known {
		l.failAt(e, field, "%s", rest)
		return
	}
	l.failAt(e, "", "%w", err)
}

// regular makes sure that a file exists below the job file's directory.
func (l *loader) regular(name string) error {
	if !iofs.ValidPath(strings.TrimPrefix(name, "./")) {
		return fmt.Errorf("%s does not lie below the directory of the job file", quote(name))
	}
	st, err := iofs.Stat(l.options.FS, strings.TrimPrefix(name, "./"))
	if err != nil {
		return fmt.Errorf("%s: %w", quote(name), underlying(err))
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", quote(name))
	}
	return nil
}

// underlying leaves out the path, which the message has.
func underlying(err error) error {
	if p, ok := errors.AsType[*iofs.PathError](err); ok {
		return p.Err
	}
	return err
}

func (l *loader) checkProgram(i *Instance) (string, error) {
	switch {
	case len(i.Run) == 0 && i.Interact == nil:
		return "run", errors.New("no program given; want run: [PROGRAM, ARGUMENT]")
	case len(i.Run) > 0 && i.Interact != nil:
		return "interact", errors.New("stands beside run; a job has one of them")
	}
	return "", nil
}

func checkInput(i *Instance) (string, error) {
	if i.Input != nil && i.Stdin != "" {
		return "input", errors.New("stands beside stdin; a job has one standard input")
	}
	if i.Input != nil && strings.IndexByte(*i.Input, 0) >= 0 {
		return "input", errors.New("holds a NUL byte; put it into a file and name that under stdin")
	}
	return "", nil
}

// judged tells whether the job has something to hide: the expected output.
func (i *Instance) judged() bool { return i.Answer != "" || i.AnswerText != nil }

func (l *loader) checkJudging(i *Instance) (string, error) {
	c := i.Check
	switch {
	case i.Answer != "" && i.AnswerText != nil:
		return "answer-text", errors.New("stands beside answer; a job has one expected output")
	case i.judged() && c == nil:
		i.Check = &Check{Checker: "tokens"}
	case c != nil && !i.judged() && c.Checker != "regex" && c.Checker != "program":
		return "check", errors.New("has nothing to compare with; give answer, answer-text or foreach with answers")
	case c != nil && c.Checker == "program":
		if _, err := c.Spec(l.options); err != nil {
			return "check", err
		}
	case c != nil && c.Checker == "regex":
		if _, err := regexp.Compile(c.Pattern); err != nil {
			return "check.pattern", err
		}
	}
	if i.judged() && i.CWD != "" && i.CWD != "none" {
		return "cwd", errors.New(string(i.CWD) + " would show the job its own answers; use none, and inputs or bind for what it needs")
	}
	if i.Points != nil && i.Group == "" && i.Case == "" && !i.judged() && i.Check == nil && i.Interact == nil {
		return "points", errors.New("are for judged jobs; give check, answer or group")
	}
	return "", nil
}

func checkData(i *Instance) (string, error) {
	for name, place := range i.Outputs {
		switch {
		case !validName(name) || strings.Contains(name, "."):
			return "outputs." + name, errors.New("want letters, digits, - and _ only")
		case place == "" || strings.HasSuffix(place, "/") || path.Clean(place) == ".":
			return "outputs." + name, errors.New("want the place of a file inside, such as /tmp/a.out")
		}
	}
	for field, name := range map[string]string{"stdout": i.Stdout, "stderr": i.Stderr} {
		if _, twice := i.Outputs[name]; name != "" && (twice || !validName(name) || strings.Contains(name, ".")) {
			return field, errors.New(quote(name) + " is no name of an output of its own; want letters, digits, - and _, as in inputs: {/tmp/log: JOB." + "NAME}")
		}
	}
	for place := range i.Inputs {
		if path.Clean(place) == "/" || strings.HasSuffix(place, "/") {
			return "inputs", errors.New(quote(place) + ": want the place of a file inside")
		}
	}
	if i.Cache == nil || !*i.Cache {
		return "", nil
	}
	switch {
	case i.CWD != "none" && i.CWD != "":
		return "cache", errors.New("needs cwd: none: what the job may see of this directory is no part of the key")
	case len(i.Bind) > 0:
		return "cache", errors.New("does not go with bind: what lies there is no part of the key")
	case len(i.Layer) > 0:
		return "cache", errors.New("does not go with layer: what lies there is no part of the key")
	case i.Network() != nil:
		return "cache", errors.New("does not go with net: what a network brings is no part of the key")
	case i.Interact != nil:
		return "cache", errors.New("is not for interactions")
	}
	return "", nil
}

func (l *loader) checkInteract(i *Instance) (string, error) {
	x := i.Interact
	if x == nil {
		return "", nil
	}
	if i.Input != nil || i.Stdin != "" || len(i.Outputs) > 0 || i.Check != nil && i.Check.Checker != "program" {
		return "interact", errors.New("has its own inputs and outputs; input, stdin, outputs and check are for jobs with run")
	}
	names := make([]string, len(x.Sides))
	for k := range x.Sides {
		names[k] = x.Sides[k].Name
	}
	if x.Judge != "" && !slices.Contains(names, x.Judge) {
		return "interact.judge", fmt.Errorf("no side is called %s%s", quote(x.Judge), didYouMean(x.Judge, names))
	}
	if len(x.Pipes) == 0 {
		if len(names) != 2 {
			return "interact.pipes", fmt.Errorf("%d sides need pipes, as [%s > %s]", len(names), names[0], names[1])
		}
		x.Pipes = []Pipe{{names[0], names[1]}, {names[1], names[0]}}
	}
	for k, p := range x.Pipes {
		for _, n := range [...]string{p.From, p.To} {
			if !slices.Contains(names, n) {
				return "interact.pipes", fmt.Errorf("no side is called %s%s", quote(n), didYouMean(n, names))
			}
		}
		if slices.Contains(x.Pipes[:k], p) || p.From == p.To {
			return "interact.pipes", fmt.Errorf("%s > %s is given twice, or leads to itself", p.From, p.To)
		}
	}
	return "", nil
}
