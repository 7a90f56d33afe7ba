package limits

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"
)

func (b *settings) io(l GroupLimits) {
	if l.IORead+l.IOWrite > 0 && b.need("io", "I/O limit") {
		if len(l.IODevices) == 0 {
			b.refuse("I/O limit", "this machine has no block device that the kernel could hold it on")
		}
		rates := ""
		if l.IORead > 0 {
			rates += " rbps=" + decimalText(uint64(l.IORead))
		}
		if l.IOWrite > 0 {
			rates += " wbps=" + decimalText(uint64(l.IOWrite))
		}
		for _, device := range l.IODevices {
			b.put("", "io.max", device+rates)
		}
	}
	if l.IOWeight == 0 || !b.need("io", "I/O weight") {
		return
	}
	if l.IOWeight < 1 || l.IOWeight > 10000 {
		b.refuse("I/O weight "+strconv.Itoa(l.IOWeight), "use 1 to 10000; 100 is usual")
	}
	b.put("", "io.weight", "default "+strconv.Itoa(l.IOWeight))
}

// BlockDevices lists the whole disks of this machine as "MAJOR:MINOR", the
// only ones io.max takes; it bounds their partitions with them. Loop and
// memory devices are left out, and what has no size.
func BlockDevices() ([]string, error) {
	const place = "/sys/block"
	entries, err := os.ReadDir(place)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // sysfs without block devices
	}
	if err != nil {
		return nil, err
	}
	var devices []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "zram") {
			continue
		}
		size, err := os.ReadFile(place + "/" + name + "/size")
		if err != nil || string(bytes.TrimSpace(size)) == "0" {
			continue // gone meanwhile, or a drive without a medium
		}
		number, err := os.ReadFile(place + "/" + name + "/dev")
		if err == nil {
			devices = append(devices, string(bytes.TrimSpace(number)))
		}
	}
	return devices, nil
}

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
	if text, ok := r.text(d, file); ok {
		p = ParsePressure(text)
	}
	return p
}

// ParsePressure reads a pressure file of a group or of /proc/pressure:
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=1500
func ParsePressure(text []byte) (p Opt[Pressure]) {
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
