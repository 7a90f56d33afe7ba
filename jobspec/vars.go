package jobspec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// errLater is a name that only some jobs have.
var errLater = errors.New("is not known here")

// scope holds what ${NAME} may stand for. Nothing of the environment is in it
// that the command line has not put there.
type scope map[string]string

// expand puts the variables into a text. $${ stands for a literal ${, for
// shells.
func (s scope) expand(text string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1])
			b.WriteString("${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		name, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return "", fmt.Errorf("%s: ${ without }; write $${ for a literal ${", quote(text))
		}
		value, ok := s[name]
		if !ok {
			return "", s.unknown(name)
		}
		if b.Len()+len(value) > mostBytes {
			return "", fmt.Errorf("the variables make a text of more than 8 MiB")
		}
		b.WriteString(value)
		text = rest
	}
}

func (s scope) unknown(name string) error {
	names := slices.Sorted(maps.Keys(s))
	const fix = "write $${%s} to leave it to a shell"
	switch {
	case strings.HasPrefix(name, "matrix."), strings.HasPrefix(name, "case."):
		return fmt.Errorf("${%s} %w%s", name, errLater, didYouMean(name, names))
	case !validName(name):
		return fmt.Errorf("${%s} is no variable; "+fix, name, name)
	}
	return fmt.Errorf("${%s} is not known%s; declare it under vars, or "+fix, name, didYouMean(name, names), name)
}

// with returns the scope with more in it.
func (s scope) with(more map[string]string) scope {
	all := make(scope, len(s)+len(more))
	maps.Copy(all, s)
	maps.Copy(all, more)
	return all
}
