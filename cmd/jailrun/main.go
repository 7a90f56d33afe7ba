// Command jailrun runs an untrusted program in a sandbox with hard limits and
// says truthfully what became of it. Its help is its manual; what the flags
// mean for the job stands at [github.com/jailrun/jailrun/sandbox.Spec].
//
// Decision: the command line is read by a table of our own. The flag package
// costs a tenth of the start of an empty Go program and cobra nearly half of
// it, at every start, and neither says field, value and fix in one line.
package main

import (
	"io"
	"os"
)

func main() {
	deepen()
	if ledAstray() {
		fail(&console{w: os.Stderr}, "the job's program, or its interpreter, leads by /proc to jailrun itself", "name a program of the root")
		os.Exit(exitCannotExecute)
	}
	os.Exit(jailrun(os.Args[1:]))
}

// deepen has the stack grow once, and not at four places on the way to a job's
// launch, each of which copies it to new pages: 1.5 % of a run.
//
//go:noinline
func deepen() byte {
	var room [30 << 10]byte
	return room[len(os.Args)&1]
}

// jailrun carries out a command line and returns the exit code.
func jailrun(args []string) int {
	tidyProcess()
	asked, wrong := split(args)
	say := newConsole(os.Stderr, &asked)
	switch {
	case asked.help:
		return show(say, helpText)
	case asked.command == "" || asked.command == "run":
		return runJob(say, &asked, wrong)
	case wrong != nil:
		sayError(say, wrong)
		return exitFailed
	}
	switch asked.command {
	case "plan":
		return printPlan(say, &asked)
	case "doctor":
		return doctor(say, asked.args)
	case "gc":
		return collectGarbage(say, asked.args)
	case "version":
		return printVersion(say, asked.args)
	case "completion":
		return printCompletion(say, asked.args)
	case "help":
		return printHelp(say, asked.args)
	}
	return runSibling(say, asked.command, asked.args)
}

// show prints what was asked for to stdout. A closed pipe or a full disk is a
// failure like any other.
func show(say *console, text string) int {
	if _, err := io.WriteString(os.Stdout, text); err != nil {
		sayError(say, err)
		return exitFailed
	}
	return 0
}

// fail says what is wrong with a command line and returns the exit code.
func fail(say *console, text, hint string) int {
	say.error(text, hint)
	return exitFailed
}
