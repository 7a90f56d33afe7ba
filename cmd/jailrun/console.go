package main

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// A console is how jailrun speaks. stdout belongs to the job, so all of it
// goes to stderr: lower case, no period, one message a line with a prefix, an
// error above its hint. A run in which all is well says nothing.
//
// What it prints may quote a job and is hostile: nothing leaves unescaped.
type console struct {
	w       io.Writer
	json    bool
	quiet   bool
	verbose bool
}

// newConsole reads the flags that shape the messages, also from a command line
// with an error further on.
func newConsole(w io.Writer, asked *words) *console {
	format, _ := asked.last("log-format")
	return &console{w: w, json: format == "json", quiet: asked.has("q"), verbose: asked.has("v")}
}

// error says that jailrun failed, and under it what to do.
func (c *console) error(text, hint string) {
	if c.json {
		c.object(message{Level: "error", Message: text, Hint: hint})
		return
	}
	c.lines("error: "+plain.Printable(text), hint)
}

// verdict says what ended a job that did not end by itself.
func (c *console) verdict(text, hint string) {
	if c.json {
		c.object(message{Level: "warn", Message: text, Hint: hint})
		return
	}
	c.lines(plain.Printable(text), hint)
}

// note says something that the caller might want to know.
func (c *console) note(text string) {
	switch {
	case c.quiet:
	case c.json:
		c.object(message{Level: "info", Message: text})
	default:
		c.lines(plain.Printable(text), "")
	}
}

// detail says something that was asked for with -v or another flag.
func (c *console) detail(text string) {
	if c.json {
		c.object(message{Level: "debug", Message: text})
		return
	}
	c.lines(plain.Printable(text), "")
}

// event is the Trace of a run under -v.
func (c *console) event(e sandbox.Event) {
	if c.json {
		c.object(message{Time: e.Time, Level: "debug", Stage: e.Stage, Message: e.Text, Took: e.Took})
		return
	}
	text := plain.Printable(e.Stage + ": " + e.Text)
	if e.Took > 0 {
		text += " (" + milliseconds(e.Took) + ")"
	}
	c.lines(text, "")
}

// lines writes a message and its hint in one call, so that the job's own
// stderr does not come between.
func (c *console) lines(text, hint string) {
	out := "jailrun: " + text + "\n"
	if hint != "" {
		out += "jailrun: hint: " + plain.Printable(hint) + "\n"
	}
	_, _ = io.WriteString(c.w, out) // stderr is where a failure would be told
}

// A message is one line of --log-format json.
type message struct {
	Time    time.Time     `json:"time"`
	Level   string        `json:"level"`
	Stage   string        `json:"stage,omitempty"`
	Message string        `json:"message"`
	Hint    string        `json:"hint,omitempty"`
	Took    time.Duration `json:"took_ns,omitempty"`
}

func (c *console) object(m message) {
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	m.Message, m.Hint = plain.Printable(m.Message), plain.Printable(m.Hint)
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(m) // strings, a time and a number always encode
	_, _ = io.WriteString(c.w, b.String())
}
