package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/jobspec"
)

const specHelp = `jailrun spec prints what job files are written from.

  jailrun spec example [NAME]   a commented job file; NAME is one of %s
  jailrun spec schema           the JSON Schema of job files, for editors
`

func spec(args []string) int {
	examples := jobspec.Examples()
	names := slices.Sorted(maps.Keys(examples))
	help := fmt.Sprintf(specHelp, strings.Join(names, ", "))
	var text string
	switch {
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		text = help
	case len(args) == 1 && args[0] == "schema":
		schema, err := jobspec.Schema()
		if err != nil {
			return fail(err, "")
		}
		text = string(schema)
	case len(args) == 1 && args[0] == "example":
		text = examples["batch"]
	case len(args) == 2 && args[0] == "example" && examples[args[1]] != "":
		text = examples[args[1]]
	default:
		return fail(fmt.Errorf("want example or schema, got %q", args), "jailrun spec example NAME, of "+strings.Join(names, ", "))
	}
	if _, err := io.WriteString(os.Stdout, text); err != nil {
		return fail(err, "")
	}
	return exitPassed
}
