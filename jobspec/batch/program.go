package batch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/check"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// judgeDir is where a checker finds what it compares, inside.
const judgeDir = "/tmp/judge"

// Limits of a checker that asks for none.
const (
	checkerWall   = time.Minute
	checkerOutput = limits.MiB
)

// program judges by a program in a sandbox of its own. What it reads was
// written by the submission, so it may be made to fail; what it says then is
// jailrun's to tell apart from a verdict.
func (a *attempt) program(c *jobspec.Check, answer io.Reader) (jobspec.Code, check.Finding, error) {
	dir, err := a.store.temp()
	if err != nil {
		return "", check.Finding{}, err
	}
	defer os.RemoveAll(dir)
	var in io.Reader = strings.NewReader("")
	file, err := a.stdin()
	if err != nil {
		return "", check.Finding{}, err
	}
	if file != nil {
		defer file.Close()
		in = file
	}
	if answer == nil {
		answer = strings.NewReader("")
	}
	for name, r := range map[string]io.Reader{"input": in, "answer": answer, "output": a.out.reader()} {
		if err := writeAll(filepath.Join(dir, name), r); err != nil {
			return "", check.Finding{}, err
		}
	}
	cmd, say, err := a.checker(c, dir)
	if err != nil {
		return "", check.Finding{}, err
	}
	res, err := a.launched(a.ctx, cmd)
	if err != nil {
		return "", check.Finding{}, err
	}
	feedback := readHead(filepath.Join(dir, "judgemessage.txt"))
	if feedback == "" {
		feedback = string(say.mem)
	}
	if res.Verdict != sandbox.Exited || res.ExitCode == nil {
		_, why := code(res)
		return jobspec.Internal, check.Finding{Message: fmt.Sprintf("the checker ended by %s: %s", res.Verdict, why)}, nil
	}
	f, err := check.Exited(c.Convention, *res.ExitCode, readHead(filepath.Join(dir, "score.txt")), feedback)
	if err != nil {
		return jobspec.Internal, check.Finding{Message: err.Error()}, nil
	}
	return jobspec.Accepted, f, nil
}

// checker makes the Cmd of a checker. Kattis' validators read the output from
// stdin and leave what they have to say in a directory; testlib's take three
// names and talk on stderr.
func (a *attempt) checker(c *jobspec.Check, dir string) (*sandbox.Cmd, *spool, error) {
	spec, err := c.Spec(a.o.Load)
	if err != nil {
		return nil, nil, err
	}
	cmd := &sandbox.Cmd{Spec: spec}
	s := &cmd.Spec
	s.Limits.Output, s.Limits.TruncateOutput = checkerOutput, true
	if c.Wall == nil {
		s.Limits.Wall = checkerWall
	}
	for _, name := range [...]string{"input", "answer", "output"} {
		copyIn(s, filepath.Join(dir, name), judgeDir+"/"+name)
	}
	a.place(s, c.Inputs, func(target string) string {
		if filepath.IsAbs(target) {
			return target
		}
		return filepath.Join(sandbox.Home, target)
	})
	say := newSpool(a.store.tmp())
	cmd.Stderr = say
	s.Args = slices.Clone(s.Args)
	if c.Convention == "testlib" {
		s.Args = append(s.Args, judgeDir+"/input", judgeDir+"/output", judgeDir+"/answer")
		return cmd, say, nil
	}
	const feedback = "/tmp/feedback"
	s.Tmpfs = append(s.Tmpfs, sandbox.Tmpfs{Target: feedback})
	for _, name := range [...]string{"judgemessage.txt", "score.txt"} {
		copyOut(s, feedback+"/"+name, filepath.Join(dir, name))
	}
	s.Args = append(s.Args, judgeDir+"/input", judgeDir+"/answer", feedback+"/")
	cmd.Stdin = a.out.reader()
	return cmd, say, nil
}

func writeAll(name string, from io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// readHead reads the start of a file that a checker left, "" if it left none.
func readHead(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, 64<<10)) // what cannot be read says nothing
	return string(text)
}
