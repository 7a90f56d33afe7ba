package jobspec

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/jailrun/jailrun/limits"
)

// Fields returns the job as one entry of a job file, in JSON, with its
// variables, templates and case put in: what a record keeps, so that the job
// can be run again. What joins it to other jobs (needs, group, matrix) is left
// out; inputs keep the names of the outputs that they are.
func (i *Instance) Fields() (json.RawMessage, error) {
	j := i.Job
	j.Extends, j.Needs, j.Matrix, j.Exclude, j.Foreach, j.StopOn, j.Group = nil, nil, nil, nil, nil, "", ""
	return json.Marshal(encode(reflect.ValueOf(j)))
}

// encode turns a value into what its decoder takes.
func encode(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		return encode(v.Elem())
	}
	switch x := v.Interface().(type) {
	case Size:
		return strconv.FormatUint(uint64(x), 10)
	case Bound:
		return strconv.FormatUint(uint64(x), 10)
	case Memory:
		return strconv.FormatUint(uint64(x), 10)
	case Rate:
		return strconv.FormatUint(uint64(x), 10)
	case Inodes:
		return strconv.Itoa(int(x))
	case CPU:
		return limits.CPU(x).String()
	case Duration:
		return seconds(time.Duration(x))
	case Grace:
		return seconds(time.Duration(x))
	case Pids:
		if x < 0 {
			return "none"
		}
		return int(x)
	case Pipe:
		return x.From + " > " + x.To
	case Sides:
		all := map[string]any{}
		for _, s := range x {
			all[s.Name] = encode(reflect.ValueOf(s))
		}
		return all
	}
	switch v.Kind() {
	case reflect.String:
		return strings.ReplaceAll(v.String(), "${", "$${")
	case reflect.Struct:
		all := map[string]any{}
		for name, f := range fieldsOf(v.Type()).byName {
			if field := v.FieldByIndex(f.index); !field.IsZero() {
				all[name] = encode(field)
			}
		}
		return all
	case reflect.Slice:
		all := make([]any, v.Len())
		for i := range all {
			all[i] = encode(v.Index(i))
		}
		return all
	case reflect.Map:
		all := map[string]any{}
		for _, k := range v.MapKeys() {
			all[k.String()] = encode(v.MapIndex(k))
		}
		return all
	}
	return v.Interface()
}

// seconds is exact to the nanosecond.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64(d/time.Second), 10) + "." + strconv.FormatInt(int64(d%time.Second)+int64(time.Second), 10)[1:]
}
