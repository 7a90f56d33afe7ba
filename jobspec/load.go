package jobspec

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
)

// Options are what a batch is read with.
type Options struct {
	// FS holds the job file and all that it names: includes, inputs, answers.
	// It must not lead out of the file's directory, whatever links lie there.
	FS iofs.FS
	// Vars are the variables of the command line.
	Vars map[string]string
	// Host says which directories of the host a job may be shown; nil none.
	Host Host
	// Networks lets jobs have the networks that the file asks for. Without it
	// such a file is refused.
	Networks bool
	// Profile reads a system call filter that the file brings along, by its real
	// path; nil refuses it. Such a profile can let pass what jailrun's own refuse.
	Profile func(path string) (*sandbox.Filter, error)
	// Detached leaves inputs alone that name jobs which the file does not have:
	// who runs the batch has them from elsewhere.
	Detached bool
}

// A Host answers for the paths of a job file that lead to directories which
// are shown to a job.
type Host interface {
	// Resolve returns the real path of what name is, relative to the job
	// file's directory, or an error if it is not allowed, or not for writing.
	// A name that does not exist is an error that wraps fs.ErrNotExist.
	Resolve(name string, write bool) (string, error)
}

// The bounds of a batch.
const (
	mostFiles = 64
	mostJobs  = 100_000
)

// Load reads a job file with its includes and makes the jobs of it. The error
// is of type [Errors] if the file is at fault.
func Load(name string, o Options) (*Batch, error) {
	l := &loader{options: o, budget: mostNodes, files: map[string]bool{}, known: map[string]*entry{}}
	l.read(name, nil, nil)
	if err := l.errs.err(); err != nil {
		return nil, err
	}
	l.declare()
	b := l.expand()
	if err := l.errs.err(); err != nil {
		return nil, err
	}
	b.Name = l.all.Name
	if b.Name == "" {
		b.Name = strings.TrimSuffix(strings.TrimSuffix(name[strings.LastIndexByte(name, '/')+1:], ".yaml"), ".yml")
	}
	return b, nil
}

// A loader makes one batch.
type loader struct {
	options Options
	errs    errorList
	budget  int
	files   map[string]bool // read so far
	all     File            // of all files together
	first   *source
	bases   []entry // defaults of each file, in order
	vars    scope
	known   map[string]*entry // templates.NAME and jobs.NAME
}

// read reads one file and its includes, which come first, so that what
// includes may build on them.
func (l *loader) read(name string, from *decoder, why *entry) {
	complain := func(err error) {
		if from != nil {
			from.fail(why.at, "include", "%w", err)
			return
		}
		var field *FieldError
		if !errors.As(err, &field) {
			field = &FieldError{File: name, Err: err}
		}
		l.errs.add(field)
	}
	clean := strings.TrimPrefix(name, "./")
	switch {
	case l.files[clean]:
		complain(fmt.Errorf("%s is included already", quote(name)))
		return
	case len(l.files) == mostFiles:
		complain(fmt.Errorf("more than %d files", mostFiles))
		return
	}
	l.files[clean] = true
	src, err := l.open(clean)
	if err != nil {
		var field *FieldError
		if errors.As(err, &field) && field.Line > 0 {
			l.errs.add(field) // the syntax of the included file
			return
		}
		if field != nil {
			err = field.Err
		}
		complain(err)
		return
	}
	if l.first == nil {
		l.first = src
	}
	// Variables are for jobs; up here there are none yet.
	d := &decoder{src: src, errs: &l.errs, budget: &l.budget, expand: scope(nil).expand}
	var f File
	if src.root == nil {
		l.errs.add(&FieldError{File: name, Err: errors.New("is empty; jailrun spec example prints a starter")})
		return
	}
	d.structure(src.root, reflect.ValueOf(&f).Elem(), "")
	if f.Version != nil && *f.Version != 1 {
		d.fail(src.root, "version", "is %d; this jailrun knows 1", *f.Version)
	}
	for _, inc := range f.Include {
		l.read(inc, d, &entry{at: src.field("include")})
	}
	l.merge(d, &f)
}

// open reads one file, which must be a regular one.
func (l *loader) open(name string) (*source, error) {
	if !iofs.ValidPath(name) {
		return nil, &FieldError{File: name, Err: fmt.Errorf("%s does not lie below the directory of the job file", quote(name))}
	}
	f, err := l.options.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", quote(name))
	}
	return readSource(name, io.Reader(f))
}

// merge adds a file to what was read before it.
func (l *loader) merge(d *decoder, f *File) {
	if f.Name != "" {
		l.all.Name = f.Name
	}
	if l.all.Vars == nil {
		l.all.Vars = map[string]Variable{}
	}
	maps.Copy(l.all.Vars, f.Vars)
	if f.Defaults.node != nil {
		l.bases = append(l.bases, f.Defaults)
	}
	add := func(to *table, from table, what string) {
		for _, e := range from {
			if old := l.known[join(what, e.name)]; old != nil {
				d.fail(e.at, join(what, e.name), "is given twice, first in %s:%d", old.src.name, old.at.Line)
				continue
			}
			l.known[join(what, e.name)] = &e
			*to = append(*to, e)
		}
	}
	add(&l.all.Template, f.Template, "templates")
	add(&l.all.Jobs, f.Jobs, "jobs")
	for _, g := range f.Groups {
		if slices.ContainsFunc(l.all.Groups, func(o NamedGroup) bool { return o.Name == g.Name }) {
			d.fail(d.src.root, join("groups", g.Name), "is given twice")
			continue
		}
		l.all.Groups = append(l.all.Groups, g)
	}
}

// declare makes the variables of declarations and command line.
func (l *loader) declare() {
	l.vars = scope{}
	for _, name := range slices.Sorted(maps.Keys(l.all.Vars)) {
		v := l.all.Vars[name]
		given, ok := l.options.Vars[name]
		switch {
		case !validName(name) || strings.Contains(name, "."):
			l.fail("vars."+name, "want letters, digits, - and _ only")
		case ok:
			l.vars[name] = given
		case v.Default == nil:
			l.fail("vars."+name, "has no value; give it with --var %s=VALUE or --var-env %s", name, name)
		default:
			l.vars[name] = *v.Default
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.options.Vars)) {
		if _, ok := l.all.Vars[name]; !ok {
			l.fail("", "--var %s: the file declares no such variable under vars%s", name, didYouMean(name, slices.Collect(maps.Keys(l.all.Vars))))
		}
		if strings.IndexByte(l.options.Vars[name], 0) >= 0 {
			l.fail("", "--var %s: holds a NUL byte", name)
		}
	}
}

// fail is an error without a place in the file.
func (l *loader) fail(field, format string, a ...any) {
	l.errs.add(&FieldError{File: l.first.name, Field: field, Err: fmt.Errorf(format, a...)})
}
