package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs/image"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// A console is how the program speaks beside its answers: on stderr, in the
// manner of jailrun. What it quotes of an image is hostile and printed escaped.
type console struct {
	w   io.Writer
	tty bool
}

func newConsole(w io.Writer) *console {
	c := &console{w: w}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		c.tty = err == nil
	}
	return c
}

func (c *console) error(text, hint string) {
	out := "jailrun: error: " + plain.Printable(text) + "\n"
	if hint != "" {
		out += "jailrun: hint: " + plain.Printable(hint) + "\n"
	}
	_, _ = io.WriteString(c.w, out) // stderr is where a failure would be told
}

func (c *console) note(text string) {
	_, _ = io.WriteString(c.w, "jailrun: "+plain.Printable(text)+"\n")
}

// A progress tells of a long import: on a terminal by one line that changes,
// elsewhere by one line a layer.
type progress struct {
	console *console
	shown   time.Time
	line    int // length of the line that stands there
}

// every is the time between two changes of the line.
const every = 100 * time.Millisecond

func (c *console) progress() *progress { return &progress{console: c} }

// show is called by one goroutine at a time.
func (p *progress) show(s image.Progress) {
	what := fmt.Sprintf("layer %d of %d", s.Index, s.Of)
	if len(s.Layer) > 19 {
		what += " (" + s.Layer[7:19] + ")"
	}
	switch {
	case s.State == image.Present:
		what += " is there"
	case s.State == image.Done:
		what += " unpacked"
	case !p.console.tty || time.Since(p.shown) < every:
		return
	case s.Size > 0:
		what += fmt.Sprintf(": %s of %s, %d%%", size(s.Bytes), size(s.Size), min(100, 100*s.Bytes/s.Size))
	default:
		what += ": " + size(s.Bytes)
	}
	p.shown = time.Now()
	if !p.console.tty {
		p.console.note(what)
		return
	}
	text := "jailrun: " + what
	_, _ = io.WriteString(p.console.w, "\r"+text+strings.Repeat(" ", max(0, p.line-len(text))))
	p.line = len(text)
}

// clear takes the line away.
func (p *progress) clear() {
	if p != nil && p.line > 0 {
		_, _ = io.WriteString(p.console.w, "\r"+strings.Repeat(" ", p.line)+"\r")
		p.line = 0
	}
}
