package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flat renders words as "command | flags | args".
func flat(w *words) string {
	var flags []string
	for _, g := range w.flags {
		f := g.flag.name
		if g.flag.value != "" {
			f += "=" + g.value
		}
		flags = append(flags, f)
	}
	return w.command + "|" + strings.Join(flags, " ") + "|" + strings.Join(w.args, " ")
}

func TestSplit(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"-- a", "||a"},
		{"run a b", "run||a b"},
		{"run run", "run||run"},
		{"run version", "run||version"},
		{"run -- run", "run||run"},
		{"./a -q", "||./a -q"},
		{"./doctor", "||./doctor"},
		{"bin/run x", "||bin/run x"},
		{"--mem 100m ls -l", "|mem=100m|ls -l"},
		{"--mem=100m ls", "|mem=100m|ls"},
		{"--mem= ls", "|mem=|ls"},
		{"--mem 100m --mem=200m -- ls", "|mem=100m mem=200m|ls"},
		{"--mem 100m run ls", "run|mem=100m|ls"},
		{"--mem 100m plan -- ls", "plan|mem=100m|ls"},
		{"plan --mem 100m ls", "plan|mem=100m|ls"},
		{"run --cpu 20% -- --cpu 30%", "run|cpu=20%|--cpu 30%"},
		{"-q ls -v", "|q|ls -v"},
		{"-nqv ls", "|n q v|ls"},
		{"-C dir ls", "|C=dir|ls"},
		{"-Cdir ls", "|C=dir|ls"},
		{"-qC dir ls", "|q C=dir|ls"},
		{"-qCdir ls", "|q C=dir|ls"},
		{"-C -q ls", "|C=-q|ls"},
		{"--env A=b=c --env D ls", "|env=A=b=c env=D|ls"},
		{"-q - x", "|q|- x"},
		{"run", "run||"},
		{"", "||"},
		{"version", "version||"},
		{"--version", "version||"},
		{"completion bash", "completion||bash"},
		{"doctor --format json", "doctor||--format json"},
		{"batch --mem 100m x", "batch||--mem 100m x"},
	} {
		w, err := split(strings.Fields(c.line))
		require.NoError(t, err, c.line)
		assert.Equal(t, c.want, flat(&w), c.line)
		assert.False(t, w.help, c.line)
	}
}

func TestSplitErrors(t *testing.T) {
	for _, c := range []struct{ line, text, hint string }{
		{"ls", `unknown command "ls"`, "to run a program: jailrun -- ls"},
		{"verson", `unknown command "verson"`, "did you mean version? to run a program: jailrun -- verson"},
		{"-", `unknown command "-"`, "to run a program: jailrun -- -"},
		{"--mem", "--mem needs a value: --mem SIZE", ""},
		{"-C", "-C needs a value: -C DIR", ""},
		{"--hostname -- ls", "--hostname needs a value: --hostname NAME", ""},
		{"--ro-root=1 ls", `--ro-root takes no value, but has "1"`, ""},
		{"--cpuu 1 ls", `unknown flag "--cpuu"`, "did you mean --cpu?"},
		{"--cpuu=1 ls", `unknown flag "--cpuu"`, "did you mean --cpu?"},
		{"--C dir ls", `unknown flag "--C"`, "did you mean -C?"},
		{"--zzz ls", `unknown flag "--zzz"`, "jailrun help flags lists them all"},
		{"--volume /x ls", `unknown flag "--volume"`, "did you mean --bind?"},
		{"-mem 1 ls", `unknown flag "-mem"`, "did you mean --mem?"},
		{"-x ls", `unknown flag "-x"`, "jailrun help flags lists them all"},
		{"--help=x ls", `unknown flag "--help"`, "jailrun help flags lists them all"},
		{"--version ls", `unknown flag "--version"`, "jailrun help flags lists them all"},
		{"-q doctor", "-q is a flag of run, and doctor takes none of them", "to run a program named doctor: jailrun … -- doctor"},
	} {
		_, err := split(strings.Fields(c.line))
		var u *usageError
		require.ErrorAs(t, err, &u, c.line)
		assert.Equal(t, c.text, u.text, c.line)
		assert.Equal(t, c.hint, u.hint, c.line)
	}
}

// What was read before an error counts: it may name a result file.
func TestSplitKeepsWhatItUnderstood(t *testing.T) {
	w, err := split(strings.Fields("--result r.json --log-format=json --zzz"))
	require.Error(t, err)
	file, ok := w.last("result")
	assert.True(t, ok)
	assert.Equal(t, "r.json", file)
	assert.True(t, w.has("log-format"))
}

func TestHelpWins(t *testing.T) {
	for _, line := range []string{"--help", "-h", "-qh ls", "run --help", "plan -h", "--mem 10x --help ls"} {
		w, err := split(strings.Fields(line))
		require.NoError(t, err, line)
		assert.True(t, w.help, line)
	}
	for _, line := range []string{"-- ls --help", "ls/ --help", "run ls -h"} {
		w, err := split(strings.Fields(line))
		require.NoError(t, err, line)
		assert.False(t, w.help, line)
	}
}

// Every line ends in words that say what was asked or in an error with one
// line; words after the program are never looked at.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"-- a", "--mem 1g -q ls --mem", "-nqC x run", "--env=A=b --", "batch x", "-\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		w, err := split(args)
		if err != nil {
			assert.NotEmpty(t, err.Error())
			return
		}
		if w.help {
			return
		}
		// The words taken and the words left are the whole line.
		left := len(args) - len(w.args)
		assert.GreaterOrEqual(t, left, 0)
		assert.Equal(t, args[left:], append([]string{}, w.args...))
		again, err := split(append(append([]string{}, args[:left]...), "anything", "-h"))
		if len(w.args) > 0 && w.command != "completion" && left > 0 && args[left-1] == "--" {
			require.NoError(t, err)
			assert.Equal(t, []string{"anything", "-h"}, again.args)
		}
	})
}
