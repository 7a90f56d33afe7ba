package main

import "strings"

// printCompletion prints a script for a shell. Flags and commands come from
// the tables, so that a script is never older than its jailrun.
func printCompletion(say *console, args []string) int {
	shell := ""
	if len(args) == 1 {
		shell = args[0]
	}
	switch shell {
	case "bash":
		return show(say, bashCompletion())
	case "zsh":
		return show(say, zshCompletion())
	case "fish":
		return show(say, fishCompletion())
	}
	return fail(say, "completion needs the name of a shell: bash, zsh or fish", "jailrun completion bash > /etc/bash_completion.d/jailrun")
}

// A valueKind says what a flag's value is completed with.
type valueKind uint8

const (
	noValue   valueKind = iota
	anyValue            // nothing to offer
	fileValue           // a name outside
	wordValue           // one of choices
)

func (f *flagDef) kind() (kind valueKind, choices []string) {
	switch v := f.value; {
	case v == "":
		return noValue, nil
	case strings.Contains(v, "FILE"), strings.Contains(v, "DIR"), strings.HasPrefix(v, "SRC"):
		return fileValue, nil
	case strings.ToLower(v) == v && !strings.ContainsAny(v, "…%"):
		return wordValue, strings.Split(v, "|")
	}
	return anyValue, nil
}

// offered tells whether a flag is completed: one that only gives an error is
// not worth a proposal.
func (f *flagDef) offered() bool { return f.about != unsupported }

func bashCompletion() string {
	var b, values strings.Builder
	var all []string
	for i := range flagTable {
		f := &flagTable[i]
		if !f.offered() {
			continue
		}
		all = append(all, f.dashed())
		switch kind, choices := f.kind(); kind {
		case fileValue:
			values.WriteString("\t" + f.dashed() + ") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n")
		case wordValue:
			values.WriteString("\t" + f.dashed() + ") COMPREPLY=($(compgen -W '" + strings.Join(choices, " ") + "' -- \"$cur\")); return ;;\n")
		case anyValue:
			values.WriteString("\t" + f.dashed() + ") return ;;\n")
		}
	}
	b.WriteString(`# bash completion for jailrun
_jailrun() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			if declare -F _command_offset >/dev/null; then _command_offset $((i + 1)); else COMPREPLY=($(compgen -c -f -- "$cur")); fi
			return
		fi
	done
	case $prev in
` + values.String() + `	completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$cur")); return ;;
	help) COMPREPLY=($(compgen -W 'flags' -- "$cur")); return ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W '` + strings.Join(all, " ") + ` --help' -- "$cur"))
	elif ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W '` + strings.Join(offeredNames(), " ") + `' -- "$cur") $(compgen -f -- "$cur"))
	else
		COMPREPLY=($(compgen -c -f -- "$cur"))
	fi
}
complete -o filenames -F _jailrun jailrun
`)
	return b.String()
}

func zshCompletion() string {
	var b strings.Builder
	b.WriteString("#compdef jailrun\n_jailrun() {\n\tlocal -a flags commands\n\tflags=(\n")
	for i := range flagTable {
		f := &flagTable[i]
		if !f.offered() {
			continue
		}
		spec := f.dashed()
		if f.about != "" {
			spec += "[" + strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(f.about) + "]"
		}
		if f.slot == many {
			spec = "*" + spec
		}
		switch kind, choices := f.kind(); kind {
		case fileValue:
			spec += ":file:_files"
		case wordValue:
			spec += ":value:(" + strings.Join(choices, " ") + ")"
		case anyValue:
			spec += ":value: "
		}
		b.WriteString("\t\t" + shellQuote(spec) + "\n")
	}
	b.WriteString("\t\t'--help[print help]'\n\t)\n\tcommands=(\n")
	for i := range commands {
		if c := &commands[i]; c.about != "" {
			b.WriteString("\t\t" + shellQuote(c.name+":"+c.about) + "\n")
		}
	}
	b.WriteString(`	)
	if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then
		_describe -t commands command commands
		_files
		return
	fi
	_arguments -S $flags '*::program:_normal'
}
if [[ $funcstack[1] == _jailrun ]]; then _jailrun "$@"; else compdef _jailrun jailrun; fi
`)
	return b.String()
}

func fishCompletion() string {
	var b strings.Builder
	b.WriteString("# fish completion for jailrun\ncomplete -c jailrun -e\n")
	for i := range commands {
		if c := &commands[i]; c.about != "" {
			b.WriteString("complete -c jailrun -n __fish_use_subcommand -a " + c.name + " -d " + shellQuote(c.about) + "\n")
		}
	}
	for i := range flagTable {
		f := &flagTable[i]
		if !f.offered() {
			continue
		}
		line := "complete -c jailrun -l " + f.name
		if len(f.name) == 1 {
			line = "complete -c jailrun -s " + f.name
		}
		if f.about != "" {
			line += " -d " + shellQuote(f.about)
		}
		switch kind, choices := f.kind(); kind {
		case fileValue:
			line += " -r -F"
		case wordValue:
			line += " -x -a " + shellQuote(strings.Join(choices, " "))
		case anyValue:
			line += " -x"
		}
		b.WriteString(line + "\n")
	}
	b.WriteString("complete -c jailrun -l help -d 'print help'\n")
	return b.String()
}

func offeredNames() []string {
	var names []string
	for i := range commands {
		if commands[i].about != "" {
			names = append(names, commands[i].name)
		}
	}
	return names
}

// shellQuote makes one word for zsh and fish; no text of ours has a backslash
// before a quote.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
