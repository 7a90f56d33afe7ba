package problem

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Language says how a program is built and run. Sources lie in the first
// directory of the job.
type Language struct {
	Name     string
	suffixes []string
	// Compile is a line for sh that makes the file Output of $SOURCES; "" if
	// there is nothing to make, and the sources are what runs.
	Compile, Output string
	// Run is the program; MAIN stands for the main source, and STEM for it
	// without its suffix.
	Run []string
}

var languages = [...]Language{
	{"C", []string{".c"}, "exec gcc -O2 -std=gnu11 -o a.out $SOURCES -lm", "a.out", []string{"./a.out"}},
	{"C++", []string{".cpp", ".cc", ".cxx", ".c++"}, "exec g++ -O2 -std=gnu++17 -o a.out $SOURCES", "a.out", []string{"./a.out"}},
	{"Go", []string{".go"}, "GOCACHE=/tmp/cache GOFLAGS=-mod=mod CGO_ENABLED=0 PATH=$PATH:/usr/local/go/bin; export GOCACHE GOFLAGS CGO_ENABLED PATH; exec go build -o a.out $SOURCES", "a.out", []string{"./a.out"}},
	{"Java", []string{".java"}, "javac -encoding UTF-8 -d /tmp/classes $SOURCES && exec jar --create --file a.jar -C /tmp/classes .", "a.jar", []string{"java", "-Xss64m", "-cp", "a.jar", "STEM"}},
	{"Python 3", []string{".py", ".py3"}, "", "", []string{"python3", "MAIN"}},
	{"Rust", []string{".rs"}, "exec rustc -O -o a.out MAIN", "a.out", []string{"./a.out"}},
	{"JavaScript", []string{".js"}, "", "", []string{"node", "MAIN"}},
	{"shell", []string{".sh"}, "", "", []string{"sh", "MAIN"}},
}

// program makes a Program of a file, or of a directory with files of one
// language.
func program(fsys fs.FS, name string) (*Program, error) {
	st, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	files := []string{name}
	if st.IsDir() {
		files = nil
		entries, err := fs.ReadDir(fsys, name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
				files = append(files, path.Join(name, e.Name()))
			}
		}
	}
	if l := languageOf(files); l != nil {
		return &Program{files, l}, nil
	}
	return nil, fmt.Errorf("%s is in no language that is known here: %s", name, known())
}

func languageOf(files []string) *Language {
	for i := range languages {
		if slices.ContainsFunc(files, languages[i].takes) {
			return &languages[i]
		}
	}
	return nil
}

func known() string {
	var all []string
	for i := range languages {
		all = append(all, languages[i].suffixes...)
	}
	return strings.Join(all, " ")
}

func (l *Language) takes(name string) bool { return slices.Contains(l.suffixes, path.Ext(name)) }

// sources are the files that the compiler is given; headers only lie beside.
func (p *Program) sources() []string {
	var all []string
	for _, f := range p.Files {
		if p.Language.takes(f) {
			all = append(all, path.Base(f))
		}
	}
	return all
}

// main is the source that runs: one that is called main, or the first.
func (p *Program) main() string {
	all := p.sources()
	for _, f := range all {
		if strings.EqualFold(strings.TrimSuffix(f, path.Ext(f)), "main") {
			return f
		}
	}
	return all[0]
}

// run is the command, with its places filled in.
func (p *Program) run() []string {
	main := p.main()
	var words []string
	for _, w := range p.Language.Run {
		switch w {
		case "MAIN":
			w = main
		case "STEM":
			w = strings.TrimSuffix(main, path.Ext(main))
		}
		words = append(words, w)
	}
	return words
}
