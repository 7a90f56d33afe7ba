package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// options are the flags that batch and judge share.
type options struct {
	jobs         string // -j
	vars         map[string]string
	allow        allowed
	allowNet     bool // jobs may have the networks that the file asks for
	allowSeccomp bool // and the system call filters that it brings along
	results      string
	junit        string
	tap          string
	github       bool
	html         string
	journal      string
	state        string
	resume       bool
	check        bool
	quiet        bool
	cold         bool
	memory       string
	all          bool     // judge: also the cases after the first that is not AC
	timeLimit    string   // judge
	dir, job     string   // replay
	files        []string // what is no flag
	helpText     string
}

// allowed are directories outside the job file's own that jobs may be shown.
type allowed []allowedDir

type allowedDir struct {
	dir   string
	write bool
}

func (a *allowed) String() string { return "" }

// Set reads DIR or DIR:rw.
func (a *allowed) Set(value string) error {
	dir, write := strings.CutSuffix(value, ":rw")
	if dir == "" {
		return errors.New("want DIR or DIR:rw")
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return err
	}
	*a = append(*a, allowedDir{dir, write})
	return nil
}

// parse reads the flags, which may stand before, between and after the files.
func parse(command, help string, args []string) (*options, error) {
	o := &options{vars: map[string]string{}, helpText: help}
	f := flag.NewFlagSet(command, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.jobs, "j", "auto", "")
	f.Func("var", "", func(v string) error {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return errors.New("want NAME=VALUE")
		}
		o.vars[name] = value
		return nil
	})
	f.Func("var-env", "", func(name string) error {
		value, ok := syscall.Getenv(name)
		if !ok {
			return fmt.Errorf("%s is not set here", name)
		}
		o.vars[name] = value
		return nil
	})
	f.Var(&o.allow, "allow", "")
	f.BoolVar(&o.allowNet, "allow-net", false, "")
	f.BoolVar(&o.allowSeccomp, "allow-seccomp", false, "")
	f.StringVar(&o.results, "results", "", "")
	f.StringVar(&o.junit, "junit", "", "")
	f.StringVar(&o.tap, "tap", "", "")
	f.BoolVar(&o.github, "github", false, "")
	f.StringVar(&o.html, "html", "", "")
	f.StringVar(&o.journal, "journal", "", "")
	f.StringVar(&o.state, "state", "", "")
	f.StringVar(&o.memory, "memory", "", "")
	if command == "replay" {
		f.StringVar(&o.dir, "dir", ".", "")
		f.StringVar(&o.job, "job", "", "")
	}
	if command == "judge" {
		f.BoolVar(&o.all, "all", false, "")
		f.StringVar(&o.timeLimit, "time-limit", "", "")
	}
	f.BoolVar(&o.resume, "resume", false, "")
	f.BoolVar(&o.check, "check", false, "")
	f.BoolVar(&o.quiet, "quiet", false, "")
	f.BoolVar(&o.quiet, "q", false, "")
	f.BoolVar(&o.cold, "cold", false, "")
	for {
		if err := f.Parse(args); err != nil {
			return o, err
		}
		args = f.Args()
		if len(args) == 0 {
			break
		}
		o.files, args = append(o.files, args[0]), args[1:]
	}
	if n, err := strconv.Atoi(o.jobs); o.jobs != "auto" && (err != nil || n < 1 || n > 4096) {
		return o, fmt.Errorf("-j %q: want a number from 1 to 4096, or auto", o.jobs)
	}
	return o, nil
}

// usage answers a command line that cannot be taken, or that asks for help.
func usage(o *options, err error) int {
	if errors.Is(err, flag.ErrHelp) {
		if _, err := io.WriteString(os.Stdout, o.helpText); err != nil {
			return exitFailed
		}
		return exitPassed
	}
	return fail(err, "--help shows the flags")
}
