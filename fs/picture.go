package fs

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Picture draws the root: each place inside, what it is made of, and where that
// comes from. Names are quoted where they would disturb the drawing.
func (r *Root) Picture(w io.Writer) error {
	p := picture{}
	p.root(r)
	p.row("/proc", "proc of the job's own, read-only, with what tells of the host covered")
	p.row("/dev", "null zero full random urandom, read-only")
	p.row("/dev/shm", "a directory of the tmpfs")
	if r.Work.Source != "" {
		p.mount(&r.Work)
	}
	for i := range r.Extra {
		p.mount(&r.Extra[i])
	}
	for _, pin := range r.Pins {
		if pin.ReadOnly {
			p.row(pin.Target, "stays as it is: read-only")
		}
	}
	_, err := io.WriteString(w, p.String())
	return err
}

type picture struct{ strings.Builder }

func (p *picture) row(place, what string) { fmt.Fprintf(p, "%-20s %s\n", plainName(place), what) }

func (p *picture) root(r *Root) {
	size := "tmpfs of " + bytesText(r.Size) + " and " + strconv.Itoa(r.Inodes) + " inodes"
	if len(r.Lowers) == 0 {
		p.row("/", size+": all that the job writes")
		for _, e := range append(r.Host.Trees, r.Host.Etc...) {
			if e.Link == "" {
				p.row("/"+e.Name, "the host's, read-only")
			}
		}
		p.row("/etc", "files made for this job: "+names(r.Etc))
		p.row("/tmp /var/tmp "+r.Home, "directories of the tmpfs")
		return
	}
	switch {
	case r.Filled:
		p.row("/", "a copy of the layers, in memory")
	case r.Served:
		p.row("/", "overlay of fuse-overlayfs, which runs in a sandbox of its own")
	default:
		p.row("/", "overlay")
	}
	switch {
	case r.Upper.Dir != "":
		p.row("  ├ writes", plainName(r.Upper.Dir)+"/upper, kept")
		p.row("  │", "("+size+" for /dev/shm and copies)")
	case r.ReadOnly:
		p.row("  ├ writes", "none but to /tmp, /var/tmp and "+r.Home+": "+size)
	default:
		p.row("  ├ writes", size+", gone with the job")
	}
	p.row("  ├ init layer", "mount points, /tmp, "+r.Home+", /etc/{"+names(r.Etc)+"}")
	var layers []string
	for i := len(r.Lowers) - 1; i >= 0; i-- {
		l := &r.Lowers[i]
		if len(l.Names) == 0 {
			layers = append(layers, plainName(l.Dir))
		}
		for _, name := range slices.Backward(l.Names) {
			layers = append(layers, plainName(l.Dir+"/"+name))
		}
	}
	for i, l := range layers {
		corner := "├"
		if i == len(layers)-1 {
			corner = "└"
		}
		p.row("  "+corner+" layer", l+", read-only")
	}
}

func (p *picture) mount(m *Mount) {
	source := plainName(m.Source)
	var what string
	switch {
	case m.Source == "" && m.Size > 0:
		what = "tmpfs of " + bytesText(m.Size) + " of its own"
	case m.Source == "":
		what = "a directory of the tmpfs"
	case m.Mode == Filled:
		what = "a copy of " + source + " in the tmpfs"
	case m.Mode == Served:
		what = "overlay of fuse-overlayfs, which runs in a sandbox of its own: writes to the tmpfs, over " + source
	case m.Mode == Copy:
		what = "overlay: writes to the tmpfs, over " + source
	case m.Mode == Writable:
		what = source + " itself, writable"
	case m.Mode == ReadOnly && m.Dir:
		what = source + ", read-only, below an overlay (its sockets and FIFOs are dead)"
	default:
		what = source + ", read-only"
	}
	if m.NoExec {
		what += ", noexec"
	}
	p.row(m.Target, what)
}

func names(files []File) string {
	list := make([]string, len(files))
	for i, f := range files {
		list[i] = f.Name
	}
	return strings.Join(list, ",")
}

// plainName is a name of the user's as it can be printed.
func plainName(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}

func bytesText(n uint64) string {
	if n%(1<<20) == 0 {
		return strconv.FormatUint(n>>20, 10) + " MiB"
	}
	return strconv.FormatUint(n, 10) + " bytes"
}
