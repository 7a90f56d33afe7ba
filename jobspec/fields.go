package jobspec

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/jailrun/jailrun/sandbox/plain"
)

var errUnsafeField = errors.New("a job file cannot give up a protection; --unsafe stands on a command line or nowhere")

// unknownField says what a field might have been.
func unknownField(name string, names []string) error {
	switch name {
	case "unsafe":
		return errUnsafeField
	case "env-pass", "env_pass":
		return errors.New("a job file never reads the caller's environment; jailrun batch --var-env NAME makes ${NAME}")
	}
	bare := strings.ReplaceAll(name, "_", "-")
	for _, f := range foreignFields {
		if f[0] == bare {
			return fmt.Errorf("unknown field; did you mean %s?", f[1])
		}
	}
	if slices.Contains(names, bare) {
		return fmt.Errorf("unknown field; did you mean %s?", bare)
	}
	return fmt.Errorf("unknown field%s", didYouMean(bare, names))
}

// foreignFields are names that other tools have for fields of ours.
var foreignFields = [...][2]string{
	{"memory", "mem"},
	{"cpus", "cpu"},
	{"timeout", "wall"},
	{"time-limit", "cpu-time"},
	{"time", "cpu-time"},
	{"memory-limit", "mem"},
	{"cmd", "run"},
	{"command", "run"},
	{"script", "run"},
	{"args", "run"},
	{"environment", "env"},
	{"depends-on", "needs"},
	{"volumes", "bind"},
	{"network", "net"},
	{"image", "rootfs"},
	{"expected", "answer"},
	{"checker", "check"},
	{"artifacts", "outputs"},
	{"retries", "retry"},
}

// typeFields are the fields of a struct type as a file names them, those of
// embedded structs included.
type typeFields struct {
	byName map[string]typeField
	names  []string // in the order of the type
}

type typeField struct {
	name, doc string
	index     []int
	typ       reflect.Type
}

var knownFields sync.Map // reflect.Type → *typeFields

func fieldsOf(t reflect.Type) *typeFields {
	if f, ok := knownFields.Load(t); ok {
		return f.(*typeFields)
	}
	f := &typeFields{byName: map[string]typeField{}}
	for _, sf := range reflect.VisibleFields(t) {
		if name := sf.Tag.Get("yaml"); name != "" {
			f.byName[name] = typeField{name, sf.Tag.Get("doc"), sf.Index, sf.Type}
			f.names = append(f.names, name)
		}
	}
	knownFields.Store(t, f)
	return f
}

// didYouMean is the end of a message about an unknown word.
func didYouMean(word string, names []string) string {
	if near := plain.Nearest(word, names); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}
