package jobspec

import (
	"encoding/json"
	"reflect"
)

// SchemaURL is where editors find the schema.
const SchemaURL = "https://raw.githubusercontent.com/jailrun/jailrun/main/jobspec/jobs.schema.json"

// Schema returns the JSON Schema of a job file, made from the types that
// decode it. Editors take it from the first line of a file, # yaml-language-server: $schema=….
func Schema() ([]byte, error) {
	g := &generator{defs: map[string]any{}}
	top := g.object(reflect.TypeFor[File]())
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["$id"] = SchemaURL
	top["title"] = "jailrun job file"
	top["required"] = []string{"jobs"}
	top["$defs"] = g.defs
	text, err := json.MarshalIndent(top, "", "  ")
	return append(text, '\n'), err
}

// Fields lists the fields of a job that stand for flags of run.
func Fields() []string { return fieldsOf(reflect.TypeFor[Job]()).names }

type generator struct{ defs map[string]any }

type object = map[string]any

// object is the schema of a struct, with every field by its name.
func (g *generator) object(t reflect.Type) object {
	properties := object{}
	for _, name := range fieldsOf(t).names {
		f := fieldsOf(t).byName[name]
		p := g.of(f.typ)
		if ref, ok := p["$ref"]; ok {
			p = object{"allOf": []any{object{"$ref": ref}}} // a description beside a $ref is ignored by some
		}
		p["description"] = f.doc
		properties[name] = p
	}
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}

// ref is a schema that is written once.
func (g *generator) ref(name string, t reflect.Type) object {
	if g.defs[name] == nil {
		g.defs[name] = true // a type may hold itself
		g.defs[name] = g.object(t)
	}
	return object{"$ref": "#/$defs/" + name}
}

// of is the schema of a type.
func (g *generator) of(t reflect.Type) object {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := g.form(t); ok {
		return s
	}
	if w, ok := reflect.TypeAssert[interface{ words() []string }](reflect.New(t)); ok {
		return object{"type": "string", "enum": w.words()}
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number", "minimum": 0}
	case reflect.Slice:
		return object{"type": "array", "items": g.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.of(t.Elem())}
	case reflect.Struct:
		return g.ref(t.Name(), t)
	}
	return object{"type": []string{"string", "number", "boolean"}} // any word is text, also 10 and true
}

// The words of the types that are written as one.
const (
	sizePattern     = `^[0-9]+(\.[0-9]+)? ?([kKmMgGtTpP]([iI]?[bB])?|[bB])?$|\$\{`
	durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h)?)+$|\$\{`
)

// form is the schema of the types with a form of their own.
func (g *generator) form(t reflect.Type) (object, bool) {
	str := func() object { return g.of(reflect.TypeFor[string]()) }
	word := func(pattern string, examples ...any) object {
		return object{"type": []string{"string", "number"}, "pattern": pattern, "examples": examples}
	}
	either := func(forms ...object) object { return object{"anyOf": forms} }
	list := func(item object) object { return object{"type": "array", "items": item} }
	switch t {
	case reflect.TypeFor[Size](), reflect.TypeFor[Bound](), reflect.TypeFor[Memory]():
		return word(sizePattern, "64m", "1.5GiB"), true
	case reflect.TypeFor[Rate]():
		return word(`^[0-9]+(\.[0-9]+)? ?[kKmMgG]?([iI]?[bB])?(/s)?$|\$\{`, "10m"), true
	case reflect.TypeFor[Duration](), reflect.TypeFor[Grace]():
		return word(durationPattern, "2s", "500ms", 10), true
	case reflect.TypeFor[CPU]():
		return word(`^[0-9]+(\.[0-9]+)?%?$|\$\{`, "50%", 1.5), true
	case reflect.TypeFor[Pids]():
		return word(`^([0-9]+|none)$|\$\{`, 64, "none"), true
	case reflect.TypeFor[Inodes]():
		return word(sizePattern, "10k"), true
	case reflect.TypeFor[Files](), reflect.TypeFor[Weight](), reflect.TypeFor[Retries](), reflect.TypeFor[Repeats]():
		return object{"type": "integer", "minimum": 0}, true
	case reflect.TypeFor[CPUList]():
		return word(`^[0-9,-]+$|\$\{`, "0-3,5"), true
	case reflect.TypeFor[Output]():
		return object{"type": "string", "pattern": `^[^.].*\..+$`, "examples": []any{"compile.bin"}}, true
	case reflect.TypeFor[Pipe]():
		return object{"type": "string", "pattern": ">", "examples": []any{"judge > player"}}, true
	case reflect.TypeFor[Names]():
		return either(str(), list(str())), true
	case reflect.TypeFor[Codes]():
		return either(g.of(reflect.TypeFor[Code]()), list(g.of(reflect.TypeFor[Code]()))), true
	case reflect.TypeFor[Requires]():
		return either(g.of(reflect.TypeFor[Require]()), list(g.of(reflect.TypeFor[Require]()))), true
	case reflect.TypeFor[Words]():
		s := list(str())
		s["minItems"] = 1
		return s, true
	case reflect.TypeFor[Matrix]():
		return object{"type": "object", "minProperties": 1, "additionalProperties": either(str(), list(str()))}, true
	case reflect.TypeFor[Check]():
		return either(g.of(reflect.TypeFor[Checker]()), g.ref("Check", t)), true
	case reflect.TypeFor[Foreach]():
		return either(str(), list(g.of(reflect.TypeFor[Case]())), g.ref("Foreach", t)), true
	case reflect.TypeFor[Bind](), reflect.TypeFor[Tmpfs](), reflect.TypeFor[Copy]():
		return either(object{"type": "string"}, g.ref(t.Name(), t)), true
	case reflect.TypeFor[Sides]():
		return object{"type": "object", "minProperties": 2, "additionalProperties": g.ref("Side", reflect.TypeFor[Side]())}, true
	case reflect.TypeFor[entry]():
		return g.ref("Job", reflect.TypeFor[Job]()), true
	case reflect.TypeFor[table]():
		return object{"type": "object", "additionalProperties": g.ref("Job", reflect.TypeFor[Job]())}, true
	case reflect.TypeFor[groupTable]():
		return object{"type": "object", "additionalProperties": g.ref("Group", reflect.TypeFor[Group]())}, true
	case reflect.TypeFor[Variable]():
		return either(str(), object{"type": "object", "maxProperties": 0}), true
	}
	return nil, false
}
