package jobspec

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// defaultOutput bounds what is taken of a job's output where nothing else is
// said: a batch keeps it until it is judged.
const defaultOutput = 64 * limits.MiB

// Spec is the job as the sandbox takes it. Inputs, which come from other jobs,
// are not in it.
func (i *Instance) Spec(o Options) (sandbox.Spec, error) {
	s, err := i.Flags.spec(o)
	s.Args = i.Run
	return s, err
}

// Spec is the side as the sandbox takes it. The directory of the job file is
// shown to a side only if it says so.
func (s *Side) Spec(o Options) (sandbox.Spec, error) {
	f := s.Flags
	if f.CWD == "" {
		f.CWD = "none"
	}
	spec, err := f.spec(o)
	spec.Args = s.Run
	return spec, err
}

// Spec is a checker program as the sandbox takes it, without what it judges.
func (c *Check) Spec(o Options) (sandbox.Spec, error) {
	f := Flags{File: c.File, Mem: c.Mem, Wall: c.Wall, CWD: "none"}
	s, err := f.spec(o)
	s.Args = c.Program
	return s, err
}

// Over returns the flags with those of base where f has none.
func (f Flags) Over(base Flags) Flags {
	overlay(&f, &base)
	return f
}

// spec converts the flags. Its errors name the field, the value and the fix.
func (f *Flags) spec(o Options) (sandbox.Spec, error) {
	var s sandbox.Spec
	if f.Preset == "judge" {
		s.Map.Mode, s.Seccomp, s.CWD = "auto", "judge", sandbox.CWDReadOnly
		s.Limits.Pids, s.Limits.Output, s.Limits.RequireCgroup = 64, 64*limits.MiB, true
	}
	if err := f.limits(&s.Limits); err != nil {
		return s, err
	}
	f.identity(&s)
	for _, step := range [...]func(*sandbox.Spec, Options) error{f.confine, f.directories, f.contents, f.environment} {
		if err := step(&s, o); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (f *Flags) limits(l *sandbox.Limits) error {
	set(&l.Memory, f.Mem)
	set(&l.MemoryHigh, f.MemHigh)
	set(&l.Swap, f.Swap)
	set(&l.IORead, f.IORead)
	set(&l.IOWrite, f.IOWrite)
	set(&l.IOWeight, f.IOWeight)
	set(&l.CPU, f.CPU)
	if f.CPUSet != nil {
		l.CPUs = string(*f.CPUSet)
	}
	set(&l.Weight, f.CPUWeight)
	set(&l.Pids, f.Pids)
	set(&l.CPUTime, f.CPUTime)
	set(&l.Wall, f.Wall)
	set(&l.Grace, f.Grace)
	set(&l.Output, f.Output)
	set(&l.Disk, f.Disk)
	set(&l.Inodes, f.Inodes)
	l.TruncateOutput = f.OnOutput == "truncate"
	if f.NoFile != nil {
		n := uint64(*f.NoFile)
		l.Rlimits.NoFile = &n
	}
	r := &l.Rlimits
	r.FSize, r.Stack, r.AS = (*limits.Size)(f.FSize), (*limits.Size)(f.Stack), (*limits.Size)(f.AS)
	r.MemLock, r.Core = (*limits.Size)(f.MemLock), (*limits.Size)(f.Core)
	if f.Preset == "judge" && r.Stack == nil && l.Memory > 0 {
		r.Stack = &l.Memory
	}
	if slices.Contains(f.Require, requireCgroup) {
		l.RequireCgroup = true
	}
	if l.Output == 0 {
		l.Output = defaultOutput
	}
	if l.Swap > 0 && l.Memory == 0 {
		return errors.New("swap: needs mem, on top of which it comes")
	}
	return nil
}

// set puts a value that was given into its field.
func set[T, F ~int | ~int64 | ~uint64 | ~uint32](to *T, from *F) {
	if from != nil {
		*to = T(*from)
	}
}

func (f *Flags) identity(s *sandbox.Spec) {
	for _, x := range [...]struct {
		to   *string
		from string
	}{{&s.Map.Mode, f.Map}, {&s.User, f.User}, {&s.Hostname, f.Hostname}, {&s.Seccomp, f.Seccomp}, {&s.Workdir, f.Workdir}} {
		if x.from != "" {
			*x.to = x.from
		}
	}
	s.Runtime = string(f.Runtime)
	s.AllowMissing = f.AllowMissing
	for _, name := range f.Require {
		if name != requireCgroup {
			s.Require = append(s.Require, string(name))
		}
	}
	s.ReadOnlyRoot = f.RORoot != nil && *f.RORoot
}

// confine refuses what gives up a protection.
func (f *Flags) confine(s *sandbox.Spec, o Options) error {
	if err := f.network(o); err != nil {
		return err
	}
	switch {
	case s.Seccomp == "none":
		return fmt.Errorf("seccomp: none gives up the filter; that needs --unsafe %s, which stands on a command line or nowhere", sandbox.UnsafeNoSeccomp)
	case f.Workdir != "" && f.Workdir[0] != '/':
		return fmt.Errorf("workdir: %s does not start with /; it is a directory inside", quote(f.Workdir))
	case strings.ContainsAny(s.Seccomp, "/."):
		return f.profile(s, o)
	}
	return nil
}

// profile takes a system call filter of the file's own. It may refuse less than
// jailrun's, which is all but what seccomp: none would be.
func (f *Flags) profile(s *sandbox.Spec, o Options) error {
	if o.Profile == nil {
		return fmt.Errorf("seccomp: %s may refuse less than the profiles of jailrun; jailrun batch --allow-seccomp takes those that the file brings along", quote(f.Seccomp))
	}
	path, err := resolve(o, f.Seccomp, false)
	if err == nil {
		s.Filter, err = o.Profile(path)
	}
	if err != nil {
		return fmt.Errorf("seccomp: %s: %w", quote(f.Seccomp), err)
	}
	return nil
}

var errNoHost = errors.New("directories cannot be shown here")

func resolve(o Options, name string, write bool) (string, error) {
	if o.Host == nil {
		return "", errNoHost
	}
	return o.Host.Resolve(name, write)
}

// directories sets what the job sees of the host.
func (f *Flags) directories(s *sandbox.Spec, o Options) (err error) {
	switch f.CWD {
	case "cow":
		s.CWD = sandbox.CWDCopy
	case "ro":
		s.CWD = sandbox.CWDReadOnly
	case "rw":
		s.CWD = sandbox.CWDWritable
	case "none":
		s.CWD = sandbox.CWDNone
	}
	dir := f.Dir
	if dir == "" {
		dir = "."
	}
	if o.Host != nil {
		if s.Dir, err = resolve(o, dir, f.CWD == "rw"); err != nil {
			return fmt.Errorf("cwd: %s: %w", quote(dir), err)
		}
	}
	if s.Rootfs, err = f.root(o); err != nil {
		return fmt.Errorf("rootfs: %s: %w", quote(f.Rootfs), err)
	}
	for _, name := range f.Layer {
		layer, err := resolve(o, name, false)
		if err != nil {
			return fmt.Errorf("layer: %s: %w", quote(name), err)
		}
		s.Layers = append(s.Layers, layer)
	}
	for _, c := range f.CopyIn {
		src, err := resolve(o, c.Source, false)
		if err != nil {
			return fmt.Errorf("copy-in: %s: %w", quote(c.Source), err)
		}
		s.CopyIn = append(s.CopyIn, sandbox.CopyIn{Source: src, Target: inside(c.Target, f.first())})
	}
	for _, b := range f.Bind {
		src, err := resolve(o, b.Source, b.Writable)
		if b.Optional && errors.Is(err, iofs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("bind: %s: %w", quote(b.Source), err)
		}
		target := b.Target
		if target == "" {
			target = src
		}
		s.Binds = append(s.Binds, sandbox.Bind{Source: src, Target: target, Writable: b.Writable, NoExec: b.NoExec})
	}
	for _, t := range f.Tmpfs {
		x := sandbox.Tmpfs{Target: t.Target}
		set(&x.Size, t.Size)
		s.Tmpfs = append(s.Tmpfs, x)
	}
	return nil
}

// root is the root as the sandbox takes it: a name of an image, or a place that
// jobs may be shown.
func (f *Flags) root(o Options) (string, error) {
	kind, place, prefixed := strings.Cut(f.Rootfs, ":")
	switch {
	case prefixed && (kind == "oci" || kind == "docker-archive"):
		real, err := resolve(o, place, false)
		if i := strings.LastIndexByte(place, ':'); err != nil && i > 0 {
			if tagged, err := resolve(o, place[:i], false); err == nil {
				return kind + ":" + tagged + place[i:], nil
			}
		}
		return kind + ":" + real, err
	case !strings.Contains(f.Rootfs, "/"):
		return f.Rootfs, nil // "", host, or an image that was imported
	}
	return resolve(o, f.Rootfs, false)
}

// Place is where a relative place of inputs and outputs lies inside: in the
// first directory of the job.
func (i *Instance) Place(place string) string { return inside(place, i.first()) }

// Place is the same for a side.
func (s *Side) Place(place string) string {
	f := s.Flags
	if f.CWD == "" {
		f.CWD = "none"
	}
	return inside(place, f.first())
}

func inside(place, dir string) string {
	if path.IsAbs(place) {
		return path.Clean(place)
	}
	return path.Join(dir, place)
}

// first is the directory inside in which the job starts.
func (f *Flags) first() string {
	switch {
	case f.Workdir != "":
		return f.Workdir
	case f.CWD == "none":
		return sandbox.Home
	}
	return sandbox.WorkDir
}
