// Package profiles holds the text of the built-in seccomp profiles and the
// numbers of the system calls they name. It is for the generator, for tests and
// for programs that explain or extend a profile; a launch uses only the compiled
// filters of package seccomp.
package profiles

import (
	"bufio"
	"embed"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
)

//go:embed *.profile syscalls_*.txt
var files embed.FS

// Names returns the profiles that are compiled into package seccomp, including
// the -nomemfd variants, init and server, in the order of their names.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil // an embedded directory can always be read
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".profile"); ok {
			names = append(names, name)
		}
	}
	return names
}

// Load parses a built-in profile together with those it starts from. An unknown
// name is an error that satisfies errors.Is(err, fs.ErrNotExist).
func Load(name string) (*profile.Profile, error) {
	file := path.Base(name) + ".profile"
	text, err := files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, err := profile.Parse(file, string(text), Load)
	if err != nil {
		return nil, err
	}
	if p.Name != name {
		return nil, fmt.Errorf("%s: holds profile %q", file, p.Name)
	}
	return p, nil
}

// Text is the text of a built-in profile. An unknown name is an error that
// satisfies errors.Is(err, fs.ErrNotExist).
func Text(name string) ([]byte, error) { return files.ReadFile(path.Base(name) + ".profile") }

// Numbers returns the system call numbers of an architecture ("amd64", "arm64")
// by name, as libseccomp knew them when the filters were generated. Only names
// that occur in a built-in profile are listed.
func Numbers(arch string) (map[string]uint32, error) {
	file := "syscalls_" + arch + ".txt"
	text, err := files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	numbers := map[string]uint32{}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		name, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%s: line %q: %w", file, lines.Text(), err)
		}
		numbers[name] = uint32(n)
	}
	return numbers, lines.Err()
}
