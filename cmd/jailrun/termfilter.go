package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// A termFilter stands between a job's output and a terminal. A job that writes
// to a terminal speaks to it: OSC sets the title or fills the clipboard, DCS,
// DECRQSS and device reports make the terminal type an answer that a shell
// then reads (CVE-2003-0063 and its many successors), a lone SO turns every
// later line into line drawing. So what passes is a list: printable UTF-8, the
// controls that move the cursor in a line, and of the escape sequences CSI
// for colours, erasing and moving. Everything else is dropped: OSC, DCS, APC,
// PM and SOS with their content, C1 in both encodings, private modes, reports.
//
// It keeps its state across writes, so that a sequence in two pieces is one.
// It is not safe for concurrent use.
type termFilter struct {
	w     io.Writer
	state filterState
	held  []byte // an unfinished UTF-8 character, or an unfinished CSI with its introducer
	out   []byte

	before byte // the last byte of a string
}

type filterState uint8

const (
	inText      filterState = iota
	inEscape                // after ESC
	inCSI                   // after ESC [; held has it
	inString                // in OSC, DCS, APC, PM or SOS
	inStringEsc             // after ESC in one
)

const esc = 0x1b

// plainCSI are the final bytes that pass: cursor movement, erasing, inserting,
// deleting and scrolling of cells, SGR (m), save and restore (s, u). Missing
// on purpose are c, n, t, x (the terminal answers), h and l (modes that stay),
// r (a scroll region that stays), i (printing), p, q and everything private.
const plainCSI = "@ABCDEFGHJKLMPSTXZ`adefmsu"

// longestCSI bounds what is held back; a longer one is not meant to be read.
const longestCSI = 64

// Write filters b and passes the rest on. It reports all of b as written
// unless the writer below failed.
func (f *termFilter) Write(b []byte) (int, error) {
	f.out = f.out[:0]
	for _, c := range b {
		f.step(c)
	}
	if len(f.out) > 0 {
		if _, err := f.w.Write(f.out); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (f *termFilter) step(c byte) {
	switch f.state {
	case inText:
		f.text(c)
	case inEscape:
		f.escape(c)
	case inCSI:
		f.csi(c)
	case inString:
		f.inString(c)
	case inStringEsc:
		if c == '\\' {
			f.state = inText
			return
		}
		f.escape(c) // ESC ends a string whatever follows
	}
}

// text takes a byte outside of any sequence.
func (f *termFilter) text(c byte) {
	if len(f.held) > 0 || c >= utf8.RuneSelf {
		f.multibyte(c)
		return
	}
	switch {
	case c == esc:
		f.state = inEscape
	case c >= ' ' && c != 0x7f || c >= '\a' && c <= '\r':
		// \a \b \t \n \v \f \r. Not ENQ, which makes terminals answer, nor SO
		// and SI, which change the character set for all that follows.
		f.out = append(f.out, c)
	}
}

// multibyte takes a byte of a character that is not ASCII. It is held until it
// is whole: passed in pieces with something dropped between, two harmless
// halves could make one C1 control.
func (f *termFilter) multibyte(c byte) {
	f.held = append(f.held, c)
	if !utf8.FullRune(f.held) {
		return
	}
	r, n := utf8.DecodeRune(f.held)
	if r == utf8.RuneError && n == 1 {
		// Not UTF-8. The byte that ended it may start something of its own.
		broken := len(f.held) > 1
		f.held = f.held[:0]
		f.invalid(c, broken)
		return
	}
	f.held = f.held[:0]
	if r >= 0x80 && r <= 0x9f {
		f.c1(byte(r))
		return
	}
	f.out = utf8.AppendRune(f.out, r)
}

// invalid takes a byte that is no part of a character; broken tells that
// others before it were cut off by it.
func (f *termFilter) invalid(c byte, broken bool) {
	switch {
	case broken:
		f.out = utf8.AppendRune(f.out, utf8.RuneError)
		f.text(c)
	case c <= 0x9f: // an 8-bit C1
		f.c1(c)
	default:
		f.out = utf8.AppendRune(f.out, utf8.RuneError)
	}
}

// c1 takes an 8-bit control. Those that introduce a string take it with them.
func (f *termFilter) c1(c byte) {
	switch c {
	case 0x90, 0x98, 0x9d, 0x9e, 0x9f: // DCS, SOS, OSC, PM, APC
		f.state = inString
	}
}

// escape takes the byte after ESC.
func (f *termFilter) escape(c byte) {
	switch {
	case c == '[':
		f.state = inCSI
		f.held = append(f.held[:0], esc, '[')
	case c == 'P' || c == 'X' || c == ']' || c == '^' || c == '_': // DCS, SOS, OSC, PM, APC
		f.state = inString
	case c == esc:
		f.state = inEscape
	case c >= ' ' && c <= '/':
		f.state = inEscape // intermediate bytes, as of a character set; the final one follows
	case c >= '0' && c <= '~':
		f.state = inText // a final byte: reset, keypad, index, …
	default:
		f.state = inText
		f.text(c)
	}
}

// csi takes a byte after ESC [.
func (f *termFilter) csi(c byte) {
	switch {
	case c >= ' ' && c <= '?':
		if len(f.held) < longestCSI {
			f.held = append(f.held, c)
		}
		return
	case c >= '@' && c <= '~':
		if f.plain(c) {
			f.out = append(append(f.out, f.held...), c)
		}
		c = 0
	}
	f.held, f.state = f.held[:0], inText
	if c != 0 {
		f.text(c) // a control or other byte breaks the sequence off
	}
}

// plain tells whether the held CSI may pass with this final byte: numbers
// only, no private marker (<=>?), no intermediate, not cut.
func (f *termFilter) plain(final byte) bool {
	if len(f.held) == longestCSI || strings.IndexByte(plainCSI, final) < 0 {
		return false
	}
	for _, p := range f.held[2:] {
		if (p < '0' || p > '9') && p != ';' && p != ':' {
			return false
		}
	}
	return true
}

// inString takes a byte of a string, which is dropped with all it holds.
func (f *termFilter) inString(c byte) {
	const bel, can, sub, st = 0x07, 0x18, 0x1a, 0x9c
	before := f.before
	f.before = c
	switch {
	case c == esc:
		f.state = inStringEsc
	case c == bel || c == can || c == sub:
		f.state = inText
	case c == st && (before < 0x80 || before == 0xc2):
		// In both encodings, but not as a part of another character, as in Ü.
		f.state = inText
	}
}
