//go:build gen

// Command gen compiles the profiles of package seccomp. It is run by
//
//	go generate ./sandbox/seccomp
//
// and needs cgo and libseccomp (Debian: libseccomp-dev, pkg-config); the build
// tag keeps it out of every other build. With -check it writes nothing and fails
// if a file is not what it would write.
//
// libseccomp supplies the numbers of the calls and a second opinion: each
// profile is compiled with it too, and nothing is written unless both filters
// answer every call of Table.Probe alike.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
	"github.com/jailrun/jailrun/sandbox/seccomp/profiles"
	"github.com/jailrun/jailrun/sandbox/seccomp/reference"
)

func main() {
	check := flag.Bool("check", false, "compare with the files, write nothing")
	dir := flag.String("dir", ".", "directory of package seccomp")
	flag.Parse()
	files, err := generate()
	if err == nil {
		err = deliver(files, *dir, *check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// generate returns the content of every generated file by its path.
func generate() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, arch := range []profile.Arch{profile.AMD64, profile.ARM64} {
		names := map[string]uint32{}
		for _, name := range profiles.Names() {
			p, err := profiles.Load(name)
			if err != nil {
				return nil, err
			}
			if err := reference.Resolve(p, arch, names); err != nil {
				return nil, err
			}
			table, err := p.Table(arch, func(s string) (uint32, bool) { n, ok := names[s]; return n, ok })
			if err != nil {
				return nil, err
			}
			code, err := table.Compile()
			if err != nil {
				return nil, fmt.Errorf("%s for %s: %w", name, arch.Name, err)
			}
			raw := profile.Encode(code)
			ref, err := reference.Compile(table)
			if err != nil {
				return nil, fmt.Errorf("%s for %s: libseccomp: %w", name, arch.Name, err)
			}
			calls, err := ref.Compare(table, raw)
			if err != nil {
				return nil, fmt.Errorf("%s for %s: %w", name, arch.Name, err)
			}
			fmt.Printf("%-16s %s %4d instructions (libseccomp %4d), %d calls compared\n",
				name, arch.Name, len(code), ref.Len(), calls)
			files[filepath.Join("filters", name+"_"+arch.Name+".bpf")] = raw
		}
		files[filepath.Join("profiles", "syscalls_"+arch.Name+".txt")] = list(names)
	}
	return files, nil
}

// list is the table of numbers as package profiles reads it, by name.
func list(names map[string]uint32) []byte {
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	var b bytes.Buffer
	for _, name := range sorted {
		fmt.Fprintf(&b, "%s %d\n", name, names[name])
	}
	return b.Bytes()
}

func deliver(files map[string][]byte, dir string, check bool) error {
	old, err := filepath.Glob(filepath.Join(dir, "filters", "*.bpf"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, ok := files[filepath.Join("filters", filepath.Base(path))]; !ok {
			return fmt.Errorf("%s: no profile of this name", path)
		}
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if !check {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return err
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, content) {
			return fmt.Errorf("%s: differs from its profile; run go generate ./sandbox/seccomp", path)
		}
	}
	return nil
}
