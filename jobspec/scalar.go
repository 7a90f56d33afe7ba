package jobspec

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jailrun/jailrun/limits"
)

// Size is a field that holds a size, as 100m, 1.5GiB or plain bytes.
type Size limits.Size

func (s *Size) parse(text string) error {
	n, err := limits.ParseSize(text)
	*s = Size(n)
	return err
}

// Bound is a Size whose 0 would leave nothing.
type Bound limits.Size

func (b *Bound) parse(text string) error {
	n, err := limits.ParseSize(text)
	if err == nil && n == 0 {
		err = errors.New("0 leaves nothing; leave the field out for the default")
	}
	*b = Bound(n)
	return err
}

// Rate is a size a second, as 10m or 10m/s.
type Rate limits.Size

func (r *Rate) parse(text string) error {
	return (*Bound)(r).parse(strings.TrimSuffix(text, "/s"))
}

// Repeats is a number of runs.
type Repeats int

func (r *Repeats) parse(text string) (err error) {
	*(*int)(r), err = count(text, 1_000_000)
	return err
}

// Memory is a Size that a program can start in.
type Memory limits.Size

func (m *Memory) parse(text string) error {
	n, err := limits.ParseSize(text)
	if err == nil {
		err = limits.CheckMemory(text, n)
	}
	*m = Memory(n)
	return err
}

// CPU is a field that holds a bandwidth, as 20% or 0.2.
type CPU limits.CPU

func (c *CPU) parse(text string) error {
	n, err := limits.ParseCPU(text)
	if err == nil {
		err = limits.CheckCPU(text, n, runtime.NumCPU())
	}
	*c = CPU(n)
	return err
}

// Duration is a field that holds a duration, as 1.5s, 200ms or seconds.
type Duration time.Duration

func (d *Duration) parse(text string) error {
	n, err := limits.ParseDuration(text)
	if err == nil && n == 0 {
		err = errors.New("0 would end the job at once; leave the field out for no limit")
	}
	*d = Duration(n)
	return err
}

// Grace is a Duration that may be 0.
type Grace time.Duration

func (g *Grace) parse(text string) error {
	n, err := limits.ParseDuration(text)
	*g = Grace(n)
	return err
}

// Pids is a number of tasks, or none (-1).
type Pids int

func (p *Pids) parse(text string) error {
	if text == "none" {
		*p = -1
		return nil
	}
	const pidMax = 1 << 22 // PID_MAX_LIMIT of the kernel
	n, err := count(text, pidMax)
	if err != nil {
		return errors.New(err.Error() + ", nor none")
	}
	*p = Pids(n)
	return nil
}

// Inodes is a count in the form of a size, as 128k.
type Inodes int

func (i *Inodes) parse(text string) error {
	var b Bound
	if err := b.parse(text); err != nil {
		return err
	}
	const most = 1 << 31
	if b > most {
		return errors.New(quote(text) + " is more than 2g, the most a tmpfs takes")
	}
	*i = Inodes(b)
	return nil
}

// Files is a number of descriptors.
type Files int

func (f *Files) parse(text string) (err error) {
	*(*int)(f), err = count(text, 1<<30)
	return err
}

// Weight is a share under contention.
type Weight int

func (w *Weight) parse(text string) (err error) {
	*(*int)(w), err = count(text, 10000)
	return err
}

// Retries is a number of further attempts.
type Retries int

func (r *Retries) parse(text string) error {
	if text == "0" {
		*r = 0
		return nil
	}
	n, err := count(text, 10)
	*r = Retries(n)
	return err
}

// CPUList is a list as in cpuset.cpus.
type CPUList string

func (c *CPUList) parse(text string) error {
	if text == "" || strings.Trim(text, "0123456789,-") != "" {
		return errors.New(quote(text) + " is not a list of CPUs; want numbers and ranges, such as 0-3,5")
	}
	*c = CPUList(text)
	return nil
}

// count reads a whole number of at least 1.
func count(text string, most int) (int, error) {
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= most {
		return n, nil
	}
	return 0, errors.New(quote(text) + " is not a number from 1 to " + strconv.Itoa(most))
}

// choose is the parse of a field with a few words.
func choose(text string, words ...string) (string, error) {
	for _, w := range words {
		if w == text {
			return w, nil
		}
	}
	return "", errors.New(quote(text) + " is not known; want " + strings.Join(words, ", ") + didYouMean(text, words))
}
