package vm

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is a kernel module, ready to be inserted.
type module struct {
	name string // with underscores
	data []byte
}

// moduleTree is /lib/modules/VERSION of an unpacked kernel package.
type moduleTree struct {
	dir     string
	files   map[string]string // name: path
	builtin map[string]bool
	noList  bool // the package does not say what is built in (Debian's since Linux 7.2): what is no file must be
}

func openModules(dir string) (*moduleTree, error) {
	t := &moduleTree{dir: dir, files: map[string]string{}, builtin: map[string]bool{}}
	b, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	t.noList = errors.Is(err, os.ErrNotExist)
	if err != nil && !t.noList {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		t.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.Contains(e.Name(), ".ko") {
			t.files[moduleName(path)] = path
		}
		return err
	})
	return t, err
}

// moduleName is the kernel's name of the module in a file: kernel/fs/9p/9pnet-x.ko.xz is 9pnet_x.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// load returns the modules named, each after those it depends on. What is built in is left out; a name with "?" is for
// what older kernels need beyond the dependencies of their modules, and may be missing.
func (t *moduleTree) load(names []string) ([]module, error) {
	var out []module
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		if seen[name] || t.builtin[name] {
			return nil
		}
		seen[name] = true
		path, ok := t.files[name]
		if !ok && t.noList {
			return nil
		}
		if !ok {
			return fmt.Errorf("%s: no module %s", t.dir, name)
		}
		data, err := readModule(path)
		if err != nil {
			return err
		}
		needs, err := dependencies(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		out = append(out, module{name, data})
		return nil
	}
	for _, name := range names {
		name, optional := strings.CutPrefix(name, "?")
		if optional && t.files[name] == "" {
			continue
		}
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readModule reads a module; Debian compresses them since version 13.
func readModule(path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".xz":
		return exec.Command("xz", "-dc", path).Output()
	case ".zst":
		return exec.Command("zstd", "-dcq", path).Output()
	}
	return os.ReadFile(path)
}

// dependencies reads the "depends" of a module's .modinfo. The package has no modules.dep: depmod makes it when the
// package is installed, which these never are.
func dependencies(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(strings.ReplaceAll(string(list), "-", "_"), ","), nil
		}
	}
	return nil, nil
}
