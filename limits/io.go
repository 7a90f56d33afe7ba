package limits

import (
	"bytes"
	"time"
)

// IOUsage is what the group has moved to and from block devices; reads that
// the page cache answered are not in it.
type IOUsage struct {
	ReadBytes, WriteBytes Opt[Size]
}

func (g *Group) ioUsage(r *usageReader) (io IOUsage) {
	text, ok := r.text(g.run, "io.stat")
	if !ok {
		return io
	}
	read, written := sumIO(text)
	return IOUsage{Opt[Size]{read, true}, Opt[Size]{written, true}}
}

// sumIO adds up an io.stat text: one line "8:0 rbytes=… wbytes=… …" a device,
// no line for a device that was not used.
func sumIO(text []byte) (read, written Size) {
	for word := range bytes.FieldsSeq(text) {
		key, value, _ := bytes.Cut(word, []byte{'='})
		n, _ := parseUint(value)
		switch string(key) {
		case "rbytes":
			read += Size(n)
		case "wbytes":
			written += Size(n)
		}
	}
	return read, written
}

// Pressure is the time that tasks of the job lost waiting for a resource: some
// of them, or all at once.
type Pressure struct {
	Some, Full time.Duration
}

// PressureUsage is the job's pressure stall information; absent where the
// kernel is built or booted without it.
type PressureUsage struct {
	CPU, Memory, IO Opt[Pressure]
}

func (g *Group) pressureUsage(r *usageReader) (p PressureUsage) {
	p.CPU = r.pressure(g.job, "cpu.pressure")
	if p.CPU.Known {
		p.Memory = r.pressure(g.job, "memory.pressure")
		p.IO = r.pressure(g.job, "io.pressure")
	}
	return p
}

func (r *usageReader) pressure(d dir, file string) (p Opt[Pressure]) {
	text, ok := r.text(d, file)
	if !ok {
		return p
	}
	for line := range bytes.Lines(text) {
		_, total, found := bytes.Cut(line, []byte("total="))
		n, ok := parseUint(bytes.TrimSpace(total))
		switch {
		case !found || !ok:
		case bytes.HasPrefix(line, []byte("some ")):
			p.Value.Some, p.Known = time.Duration(n)*time.Microsecond, true
		case bytes.HasPrefix(line, []byte("full ")):
			p.Value.Full = time.Duration(n) * time.Microsecond
		}
	}
	return p
}
