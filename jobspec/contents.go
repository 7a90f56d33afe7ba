package jobspec

import (
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// contents sets the small files of the root.
func (f *Flags) contents(s *sandbox.Spec, o Options) error {
	for _, target := range slices.Sorted(maps.Keys(f.File)) {
		text := f.File[target]
		if !strings.HasPrefix(target, "/") {
			return fmt.Errorf("file: %s does not start with /", quote(target))
		}
		content := []byte(text)
		if name, isName := strings.CutPrefix(text, "@"); isName {
			content = []byte(name)
			if !strings.HasPrefix(name, "@") {
				var err error
				if content, err = o.ReadFile(name); err != nil {
					return fmt.Errorf("file: %s: %w", quote(target), err)
				}
			}
		}
		s.Files = append(s.Files, sandbox.File{Target: target, Content: content})
	}
	return nil
}

func (f *Flags) environment(s *sandbox.Spec, o Options) error {
	var more []string
	for _, name := range f.EnvFile {
		content, err := o.ReadFile(name)
		if err != nil {
			return fmt.Errorf("env-file: %w", err)
		}
		for n, line := range strings.Split(string(content), "\n") {
			line = strings.TrimSuffix(line, "\r")
			if trimmed := strings.TrimLeft(line, " \t"); trimmed == "" || trimmed[0] == '#' {
				continue
			}
			if k, _, ok := strings.Cut(line, "="); !ok || k == "" || strings.IndexByte(line, 0) >= 0 {
				return fmt.Errorf("env-file: %s:%d: want K=V; a job file never reads the caller's environment", quote(name), n+1)
			}
			more = append(more, line)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.Env)) {
		if strings.Contains(k, "=") {
			return fmt.Errorf("env: %s: the name of a variable holds no =", quote(k))
		}
		more = append(more, k+"="+f.Env[k])
	}
	switch {
	case f.ClearEnv != nil && *f.ClearEnv:
		s.Env = append([]string{}, more...)
	case len(more) > 0:
		s.AddEnv = more
	}
	return nil
}

// ReadFile reads a file beside the job file that is held in memory.
func (o Options) ReadFile(name string) ([]byte, error) {
	const most = 16 * limits.MiB
	clean := strings.TrimPrefix(name, "./")
	if !iofs.ValidPath(clean) {
		return nil, fmt.Errorf("%s does not lie below the directory of the job file", quote(name))
	}
	f, err := o.FS.Open(clean)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", quote(name), underlying(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > int(most) {
		err = fmt.Errorf("%s is more than %s; show a large file with bind", quote(name), most.Human())
	}
	return data, err
}
