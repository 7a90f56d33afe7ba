package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
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
	h := sha256.New()
	writeText(h, "jailrun job 1\x00"+j.ID+"\x00")
	spec, err := j.Spec(d.options)
	if err != nil {
		return "", err
	}
	hashValue(h, reflect.ValueOf(&spec).Elem())
	fields := j.Job
	fields.Priority, fields.Description, fields.StopOn, fields.Retry = nil, "", "", nil // change nothing of what the job does
	hashValue(h, reflect.ValueOf(&fields).Elem())
	for _, name := range [...]string{j.Stdin, j.Answer} {
		sum, err := d.file(name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", j.ID, err)
		}
		writeText(h, sum)
	}
	for _, c := range spec.CopyIn {
		sum, err := d.tree(c.Source)
		if err != nil {
			return "", fmt.Errorf("%s: %w", j.ID, err)
		}
		writeText(h, sum)
	}
	needs := slices.Clone(j.Needs)
	slices.Sort(needs)
	for _, n := range needs {
		sum, err := d.of(n)
		if err != nil {
			return "", err
		}
		writeText(h, sum)
	}
	d.done[i] = hex.EncodeToString(h.Sum(nil)[:16])
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

// writeText cannot fail: a hash takes everything.
func writeText(h hash.Hash, s string) { _, _ = io.WriteString(h, s) }

// hashValue hashes what is not zero of plain data, with the place of each.
// encoding/json does the same at ten times the cost, which a resumed batch of
// ten thousand jobs pays at its start.
func hashValue(h hash.Hash, v reflect.Value) {
	var number [9]byte
	number[0] = byte(v.Kind())
	put := func(n uint64) {
		binary.LittleEndian.PutUint64(number[1:], n)
		h.Write(number[:])
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() {
				put(uint64(i))
				hashValue(h, f)
			}
		}
		put(1 << 32)
	case reflect.Pointer:
		if !v.IsNil() {
			put(1)
			hashValue(h, v.Elem())
		}
	case reflect.Slice, reflect.Array:
		put(uint64(v.Len()))
		for i := range v.Len() {
			hashValue(h, v.Index(i))
		}
	case reflect.Map:
		put(uint64(v.Len()))
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			hashValue(h, k)
			hashValue(h, v.MapIndex(k))
		}
	case reflect.String:
		put(uint64(v.Len()))
		writeText(h, v.String())
	case reflect.Bool:
		if v.Bool() {
			put(1)
		}
	case reflect.Int, reflect.Int64, reflect.Int32:
		put(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		put(v.Uint())
	case reflect.Float64:
		put(uint64(v.Float() * (1 << 20)))
		writeText(h, fmt.Sprint(v.Float()))
	}
}

// shape names what of a spec a pool must know beforehand; see [sandbox.Pool].
func shape(s sandbox.Spec) [sha256.Size]byte {
	s.Args, s.Env, s.Workdir, s.Runtime = nil, nil, "", ""
	l := &s.Limits
	l.CPUTime, l.Wall, l.Grace, l.CancelGrace, l.Output, l.TruncateOutput = 0, 0, 0, 0, 0, false
	h := sha256.New()
	hashValue(h, reflect.ValueOf(&s).Elem())
	return [sha256.Size]byte(h.Sum(nil))
}
