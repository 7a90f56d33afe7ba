package jobspec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// The bounds of a file. The parser makes a node of some 200 bytes of what may
// be two bytes of text, so the marks that make nodes are counted before it
// sees any: with them a hostile file costs at most about 150 MiB.
const (
	mostBytes = 8 << 20
	mostMarks = 400_000
	mostDepth = 64
	// mostNodes bounds what is decoded, aliases unfolded.
	mostNodes = 1_000_000
)

// A source is the text of one file, with its parsed form.
type source struct {
	name string
	text []byte
	root *yaml.Node // the mapping at the top; nil for an empty file
}

// readSource reads a file up to the bound.
func readSource(name string, r io.Reader) (*source, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostBytes+1))
	if err != nil {
		return nil, &FieldError{File: name, Err: err}
	}
	return parseSource(name, text)
}

// parseSource makes the tree of a text. Nothing is understood yet but the
// syntax.
func parseSource(name string, text []byte) (s *source, err error) {
	s = &source{name: name, text: text}
	if err := s.refuse(); err != nil {
		return nil, err
	}
	defer func() {
		// The parser is not ours and has panicked before (CVE-2022-28948).
		if p := recover(); p != nil {
			s, err = nil, &FieldError{File: name, Err: fmt.Errorf("the YAML parser failed: %v", p)}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return s, nil
	case err != nil:
		return nil, s.syntax(err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, s.syntax(err)
		}
		return nil, s.at(&second, "", "here a second document starts; a job file is one, without ---")
	}
	if len(doc.Content) == 1 {
		s.root = doc.Content[0]
	}
	return s, nil
}

// refuse looks at the bytes alone, in one pass and without memory.
func (s *source) refuse() error {
	if len(s.text) > mostBytes {
		return &FieldError{File: s.name, Err: errors.New("more than 8 MiB; large inputs belong into files of their own")}
	}
	marks, line, start := 0, 1, 0
	depth, indent := 0, true
	for i, c := range s.text {
		switch c {
		case 0:
			return s.errorAt(line, i-start+1, "a NUL byte; a job file is text")
		case '\n':
			line, start, indent = line+1, i+1, true
			marks++
			continue
		case ',', ':', '?', '*', '&':
			marks++
		case '[', '{':
			marks++
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '-':
			if indent {
				marks++
			}
		}
		if c != ' ' && c != '-' {
			indent = false
		}
		if depth > mostDepth*16 {
			return s.errorAt(line, i-start+1, "brackets nested too deep")
		}
	}
	if marks > mostMarks {
		return &FieldError{File: s.name, Err: errors.New("more than " + strconv.Itoa(mostMarks) +
			" fields, lines and commas; large inputs belong into files of their own, many jobs into foreach or matrix")}
	}
	return nil
}

// syntax makes a FieldError of the parser's "yaml: line 3: did not find …".
func (s *source) syntax(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, why, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, text = n, why
				if strings.HasPrefix(why, "did not find expected") {
					line++ // the parser counts from 0, its scanner from 1
				}
			}
		}
	}
	if strings.Contains(text, "found character that cannot start any token") && strings.Contains(s.line(line), "\t") {
		text += "; YAML is indented with spaces, not tabs"
	}
	if line == 0 {
		return &FieldError{File: s.name, Err: errors.New(text)}
	}
	content := s.line(line)
	return s.errorAt(line, len(content)-len(strings.TrimLeft(content, " \t"))+1, text)
}

// at is an error at a node.
func (s *source) at(n *yaml.Node, field, format string, a ...any) *FieldError {
	return &FieldError{
		File: s.name, Line: n.Line, Column: n.Column, Field: field,
		Text: s.line(n.Line), Err: fmt.Errorf(format, a...),
	}
}

func (s *source) errorAt(line, column int, text string) error {
	return &FieldError{File: s.name, Line: line, Column: column, Text: s.line(line), Err: errors.New(text)}
}

// line returns a line of the text, from 1, "" if there is none.
func (s *source) line(number int) string {
	rest := s.text
	for i := 1; i < number; i++ {
		_, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return ""
		}
		rest = after
	}
	if number < 1 {
		return ""
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	if len(line) > 4096 {
		line = line[:4096]
	}
	return strings.TrimSuffix(string(line), "\r")
}

// field returns the node of a field at the top, for errors; the top itself if
// there is none.
func (s *source) field(name string) *yaml.Node {
	for i := 0; i+1 < len(s.root.Content); i += 2 {
		if s.root.Content[i].Value == name {
			return s.root.Content[i+1]
		}
	}
	return s.root
}
