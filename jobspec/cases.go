package jobspec

import (
	"cmp"
	iofs "io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// cases lists the test cases of a job; one nil without foreach.
func (l *loader) cases(e *entry, f *Foreach) []*Case {
	var all []*Case
	switch {
	case f == nil:
		return []*Case{nil}
	case f.Dir != "":
		all = l.glob(e, path.Join(f.Dir, "*.in"), f.Answer, "dir")
	case f.Glob != "":
		all = l.glob(e, f.Glob, f.Answer, "glob")
	default:
		for i := range f.List {
			c := f.List[i]
			if c.Name == "" {
				c.Name = strconv.Itoa(i + 1)
			}
			all = append(all, &c)
		}
	}
	seen := make(map[string]bool, len(all))
	for _, c := range all {
		if seen[c.Name] {
			l.failAt(e, "foreach", "two cases are called %s", quote(c.Name))
		}
		seen[c.Name] = true
	}
	return all
}

// glob makes a case of every input file.
func (l *loader) glob(e *entry, pattern, suffix, field string) []*Case {
	pattern = strings.TrimPrefix(pattern, "./")
	if !iofs.ValidPath(pattern) {
		l.failAt(e, "foreach."+field, "%s does not lie below the directory of the job file", quote(pattern))
		return nil
	}
	files, err := iofs.Glob(l.options.FS, pattern)
	if err != nil {
		l.failAt(e, "foreach."+field, "%s: %w", quote(pattern), err)
		return nil
	}
	if len(files) == 0 {
		l.failAt(e, "foreach."+field, "no file matches %s", quote(pattern))
		return nil
	}
	if len(files) > mostJobs {
		l.failAt(e, "foreach."+field, "more than %d files match %s", mostJobs, quote(pattern))
		return nil
	}
	suffixes := []string{".ans", ".out"}
	if suffix != "" {
		suffixes = []string{suffix}
	}
	var all []*Case
	for _, file := range files {
		stem := strings.TrimSuffix(file, path.Ext(file))
		c := &Case{Name: path.Base(stem), Stdin: file}
		if !validName(c.Name) {
			l.failAt(e, "foreach."+field, "%s: want file names of letters, digits and ._- only", quote(file))
			return nil
		}
		for _, end := range suffixes {
			if answer := stem + end; answer != file && l.exists(answer) {
				c.Answer = answer
				break
			}
		}
		if c.Answer == "" && (field == "dir" || suffix != "") {
			l.failAt(e, "foreach."+field, "%s has no answer: %s does not exist", quote(file), quote(stem+suffixes[0]))
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Case) int { return natural(a.Name, b.Name) })
	return all
}

func (l *loader) exists(name string) bool {
	st, err := iofs.Stat(l.options.FS, name)
	return err == nil && st.Mode().IsRegular()
}

// natural orders names as people do: 2 before 10.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		m, n := digits(x), digits(y)
		if m > 0 && n > 0 {
			p, q := strings.TrimLeft(x[:m], "0"), strings.TrimLeft(y[:n], "0")
			if c := cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q)); c != 0 {
				return c
			}
			x, y = x[m:], y[n:]
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
