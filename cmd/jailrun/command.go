package main

// A command is a word that may stand where the program may.
type command struct {
	name       string
	takesFlags bool   // of run
	sibling    bool   // a program of its own, jailrun-NAME
	program    string // of the sibling whose program it is, "" its own
	about      string // "": jailrun itself calls it, and nobody else
}

// The names of siblings are a fixed list: what a PATH or a directory holds
// never becomes a command.
var commands = [...]command{
	{name: "run", takesFlags: true, about: "run one job (the default)"},
	{name: "plan", takesFlags: true, about: "print what would be done, step by step, and do nothing"},
	{name: "doctor", about: "probe this host and print the exact fix for what is missing"},
	{name: "gc", about: "sweep what crashed runs left"},
	{name: "version", about: "print the version"},
	{name: "completion", about: "print a completion script for bash, zsh or fish"},
	{name: "help", about: "print help; help flags lists every flag"},
	{name: "batch", sibling: true, about: "run the jobs of a file, side by side, and lose nothing"},
	{name: "judge", sibling: true, program: "batch", about: "judge submissions to a problem package"},
	{name: "spec", sibling: true, program: "batch", about: "print an example of a job file, or its schema"},
	{name: "replay", sibling: true, program: "batch", about: "run a recorded job again"},
	{name: "image", sibling: true, about: "import, list and remove images of root file systems"},
	{name: "net", sibling: true},
	{name: "seccomp", sibling: true, about: "show, explain, check and record system call filters"},
	{name: "selftest", sibling: true, about: "attack the sandbox of this host and print what held"},
	{name: "bench", sibling: true, about: "measure start-up against other runners on this host"},
}

func findCommand(name string) *command {
	for i := range commands {
		if commands[i].name == name {
			return &commands[i]
		}
	}
	return nil
}

func commandNames() []string {
	names := make([]string, len(commands))
	for i := range commands {
		names[i] = commands[i].name
	}
	return names
}
