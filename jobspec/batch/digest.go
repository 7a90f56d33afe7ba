package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox"
)

// A digester names all that a job is made of: its fields, the sandbox that
// they ask for, the content of its input and answer, and the jobs that it
// needs. A record in a journal counts only for a job with the same digest.
type digester struct {
	batch   *jobspec.Batch
	options jobspec.Options
	files   map[string]string // hash by name
	done    []string
	buf     []byte
}

func newDigester(b *jobspec.Batch, o jobspec.Options) *digester {
	return &digester{batch: b, options: o, files: map[string]string{}, done: make([]string, len(b.Jobs))}
}

// of returns the digest of job i. Jobs that it needs are digested first; a
// chain of them is as deep as the batch at most.
func (d *digester) of(i int) (string, error) {
	if d.done[i] != "" {
		return d.done[i], nil
	}
	j := d.batch.Jobs[i]
	needs := slices.Clone(j.Needs)
	slices.Sort(needs)
	for _, n := range needs { // before the buffer is ours
		if _, err := d.of(n); err != nil {
			return "", err
		}
	}
	d.buf = append(append(append(d.buf[:0], "jailrun job 1\x00"...), j.ID...), 0)
	spec, err := j.Spec(d.options)
	if err != nil {
		return "", err
	}
	d.buf = appendValue(d.buf, reflect.ValueOf(&spec).Elem())
	fields := j.Job
	// What changes nothing of what the job does, or is put into its fields by
	// now. With the matrix the digests of n jobs would read n times n values, and
	// one more of them would make all others run again.
	fields.Priority, fields.Description, fields.StopOn, fields.Retry = nil, "", "", nil
	fields.Extends, fields.Needs, fields.Matrix, fields.Exclude, fields.Foreach = nil, nil, nil, nil, nil
	d.buf = appendValue(d.buf, reflect.ValueOf(&fields).Elem())
	for _, name := range [...]string{j.Stdin, j.Answer} {
		sum, err := d.file(name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", j.ID, err)
		}
		d.buf = append(d.buf, sum...)
	}
	for _, c := range spec.CopyIn {
		sum, err := d.tree(c.Source)
		if err != nil {
			return "", fmt.Errorf("%s: %w", j.ID, err)
		}
		d.buf = append(d.buf, sum...)
	}
	for _, n := range needs {
		d.buf = append(d.buf, d.done[n]...)
	}
	sum := sha256.Sum256(d.buf)
	d.done[i] = hex.EncodeToString(sum[:16])
	return d.done[i], nil
}

// file hashes a file beside the job file, once.
func (d *digester) file(name string) (string, error) {
	if name == "" || name == "null" {
		return "-", nil
	}
	if sum, ok := d.files[name]; ok {
		return sum, nil
	}
	f, err := d.options.FS.Open(strings.TrimPrefix(name, "./"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	d.files[name] = hex.EncodeToString(h.Sum(nil))
	return d.files[name], nil
}

// tree hashes a file or directory that jobs get a copy of, once: the names,
// the rights to execute, and the contents of regular files.
func (d *digester) tree(name string) (string, error) {
	if sum, ok := d.files["copy "+name]; ok {
		return sum, nil
	}
	h := sha256.New()
	err := filepath.WalkDir(name, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %v\n", strings.TrimPrefix(path, name), e.Type())
		if !e.Type().IsRegular() {
			return nil
		}
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil {
			fmt.Fprintf(h, "%o %d\n", st.Mode().Perm()&0o111, st.Size())
		}
		_, err = io.Copy(h, f)
		return err
	})
	if err != nil {
		return "", err
	}
	d.files["copy "+name] = hex.EncodeToString(h.Sum(nil))
	return d.files["copy "+name], nil
}

// appendValue appends what is not zero of plain data, with the place of each.
// encoding/json does the same at ten times the cost, which a resumed batch of
// ten thousand jobs pays at its start.
func appendValue(b []byte, v reflect.Value) []byte {
	put := func(n uint64) { b = binary.LittleEndian.AppendUint64(append(b, byte(v.Kind())), n) }
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() {
				put(uint64(i))
				b = appendValue(b, f)
			}
		}
		put(1 << 32)
	case reflect.Pointer:
		if !v.IsNil() {
			put(1)
			b = appendValue(b, v.Elem())
		}
	case reflect.Slice, reflect.Array:
		put(uint64(v.Len()))
		for i := range v.Len() {
			b = appendValue(b, v.Index(i))
		}
	case reflect.Map:
		put(uint64(v.Len()))
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
		for _, k := range keys {
			b = appendValue(appendValue(b, k), v.MapIndex(k))
		}
	case reflect.String:
		put(uint64(v.Len()))
		b = append(b, v.String()...)
	case reflect.Bool:
		if v.Bool() {
			put(1)
		}
	case reflect.Int, reflect.Int64, reflect.Int32:
		put(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		put(v.Uint())
	case reflect.Float64:
		put(math.Float64bits(v.Float()))
	}
	return b
}

// shape names what of a spec a pool must know beforehand; see [sandbox.Pool].
func shape(s sandbox.Spec) [sha256.Size]byte {
	return sha256.Sum256(appendShape(nil, s))
}

func appendShape(b []byte, s sandbox.Spec) []byte {
	s.Args, s.Env, s.Workdir, s.Runtime = nil, nil, "", ""
	l := &s.Limits
	l.CPUTime, l.Wall, l.Grace, l.CancelGrace, l.Output, l.TruncateOutput = 0, 0, 0, 0, 0, false
	return appendValue(b, reflect.ValueOf(&s).Elem())
}
