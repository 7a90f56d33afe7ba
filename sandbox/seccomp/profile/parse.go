package profile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds on a text. They keep Compile's work small whatever the text says.
const (
	maxText    = 256 << 10 // bytes
	maxClauses = 16        // of one rule
	maxRanges  = 64        // of one condition
	maxDepth   = 8         // profiles that start from one another
)

// SyntaxError is a fault in a profile's text.
type SyntaxError struct {
	File string
	Line int // from 1
	Msg  string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

// parser is the state between two lines.
type parser struct {
	file     string
	at       int // the line being read
	p        *Profile
	parent   func(string) (*Profile, error)
	index    map[string]int  // name of a call → its place in p.Rules
	own      map[string]bool // named by this text, not inherited
	unlisted bool            // said or inherited, as is foreign
	foreign  bool
	group    string
	reason   string
	groups   map[string]bool
	pending  []Rule // names of an args block that is still open
	clauses  []Clause
}

// Parse reads a profile. file is the name for error messages; parent returns the
// profile that a `from` line names and may be nil where none is allowed. Faults
// in the text are a *SyntaxError; an error of parent is wrapped.
func Parse(file, text string, parent func(name string) (*Profile, error)) (*Profile, error) {
	s := &parser{file: file, p: &Profile{}, parent: parent, index: map[string]int{}, own: map[string]bool{}, groups: map[string]bool{}}
	if len(text) > maxText {
		return nil, &SyntaxError{file, 1, fmt.Sprintf("longer than %d bytes", maxText)}
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		s.at = i + 1
		if err := s.line(words); err != nil {
			return nil, fault(file, i+1, err)
		}
	}
	if err := s.end(); err != nil {
		return nil, fault(file, len(lines), err)
	}
	return s.p, nil
}

// fault gives an error its place, unless it lies in a parent's text.
func fault(file string, line int, err error) error {
	if m, ok := errors.AsType[message](err); ok {
		return &SyntaxError{file, line, string(m)}
	}
	return fmt.Errorf("%s:%d: %w", file, line, err)
}

type message string

func (m message) Error() string { return string(m) }

func bad(format string, args ...any) error { return message(fmt.Sprintf(format, args...)) }

func (s *parser) line(words []string) error {
	if s.p.Name == "" && words[0] != "profile" {
		return bad("the first line must be: profile NAME")
	}
	if s.pending != nil {
		return s.clause(words)
	}
	switch words[0] {
	case "profile", "from", "unlisted", "foreign", "group":
		if len(words) != 2 {
			return bad("%s takes one word", words[0])
		}
		return s.directive(words[0], words[1])
	case "reason":
		return s.setReason(words[1:])
	case "args":
		if err := s.inGroup(words); err != nil {
			return err
		}
		return s.open(words[1:])
	}
	action, ok := parseAction(words[0])
	if !ok {
		return bad("%q is neither a directive nor an answer", words[0])
	}
	if err := s.inGroup(words); err != nil {
		return err
	}
	if err := s.open(words[1:]); err != nil {
		return err
	}
	s.clauses = []Clause{{Action: action}}
	s.close()
	return nil
}

func (s *parser) directive(key, value string) error {
	switch key {
	case "profile":
		if s.p.Name != "" {
			return bad("a second profile line")
		}
		s.p.Name = value
	case "from":
		return s.inherit(value)
	case "group":
		if s.group != "" && s.reason == "" {
			return bad("group %s has no reason", s.group)
		}
		if s.groups[value] {
			return bad("a second group %s", value)
		}
		s.groups[value] = true
		s.group, s.reason = value, ""
	default:
		action, ok := parseAction(value)
		if !ok {
			return bad("%q is not an answer", value)
		}
		// Allowing what is not named, or a whole other ABI, would turn the
		// profile inside out.
		if action == Allow {
			return bad("%s cannot be allow", key)
		}
		if key == "unlisted" {
			s.p.Unlisted, s.unlisted = action, true
		} else {
			s.p.Foreign, s.foreign = action, true
		}
	}
	return nil
}

// inherit starts from a copy of another profile.
func (s *parser) inherit(name string) error {
	if s.unlisted || s.foreign || s.group != "" {
		return bad("from must follow the profile line")
	}
	if s.parent == nil {
		return bad("from is not allowed here")
	}
	from, err := s.parent(name)
	if err != nil {
		return err
	}
	s.p.depth = from.depth + 1
	if s.p.depth > maxDepth {
		return bad("more than %d profiles start from one another", maxDepth)
	}
	s.p.Unlisted, s.p.Foreign, s.unlisted, s.foreign = from.Unlisted, from.Foreign, true, true
	s.p.Rules = append([]Rule(nil), from.Rules...)
	for i, r := range s.p.Rules {
		s.index[r.Name] = i
	}
	return nil
}

func (s *parser) setReason(words []string) error {
	switch {
	case s.group == "":
		return bad("a reason without a group")
	case s.reason != "":
		return bad("a second reason for group %s", s.group)
	case len(words) == 0:
		return bad("an empty reason")
	}
	s.reason = strings.Join(words, " ")
	return nil
}

func (s *parser) inGroup(words []string) error {
	switch {
	case s.group == "":
		return bad("%s before the first group", words[0])
	case s.reason == "":
		return bad("group %s has no reason", s.group)
	case len(words) < 2:
		return bad("%s names no system call", words[0])
	}
	return nil
}

// open begins the rule of the named calls, close ends it.
func (s *parser) open(names []string) error {
	rules := make([]Rule, 0, len(names))
	for _, word := range names {
		rule := Rule{Number: -1, Group: s.group, Reason: s.reason, File: s.file, Line: s.at}
		name, number, given := strings.Cut(word, "=")
		if given {
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				return bad("%q is not a system call number", number)
			}
			rule.Number = int64(n)
		}
		if !callName(name) {
			return bad("%q is not the name of a system call", name)
		}
		if s.own[name] {
			return bad("%s stands here twice", name)
		}
		s.own[name] = true
		rule.Name = name
		rules = append(rules, rule)
	}
	s.pending = rules
	return nil
}

func (s *parser) close() {
	for _, rule := range s.pending {
		rule.Clauses = s.clauses
		at, inherited := s.index[rule.Name]
		if !inherited {
			s.index[rule.Name] = len(s.p.Rules)
			s.p.Rules = append(s.p.Rules, rule)
			continue
		}
		if rule.Number < 0 {
			rule.Number = s.p.Rules[at].Number
		}
		s.p.Rules[at] = rule
	}
	s.pending, s.clauses = nil, nil
}

func (s *parser) end() error {
	switch {
	case s.p.Name == "":
		return bad("no profile line")
	case s.pending != nil:
		return bad("args %s has no otherwise", s.pending[0].Name)
	case s.group != "" && s.reason == "":
		return bad("group %s has no reason", s.group)
	case !s.unlisted || !s.foreign:
		return bad("unlisted and foreign must be given")
	case len(s.p.Rules) == 0:
		return bad("no system call is named")
	}
	return nil
}

func callName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
