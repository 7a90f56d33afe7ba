package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/jailrun/jailrun/jobspec"
)

// notFields are the flags that a job file has no field for, with the reason.
var notFields = map[string]string{
	"unsafe":        "a stranger's job file gives up no protection",
	"env-pass":      "a job file does not read the caller's environment",
	"mount":         "the long form of the field bind",
	"C":             "the field dir",
	"copy-out":      "the field outputs",
	"diff":          "of one run",
	"export-layer":  "of one run",
	"upper":         "a directory of one host",
	"i":             "of a terminal",
	"n":             "the field stdin is null, and the default of a batch",
	"t":             "of a terminal",
	"raw-output":    "of a terminal",
	"result":        "jailrun batch --results",
	"trace-startup": "of messages",
	"record-calls":  "jailrun seccomp record",
	"q":             "of messages",
	"v":             "of messages",
	"log-format":    "of messages",
	"show-secrets":  "of plan",
	"picture":       "of plan",
}

// TestFields: whatever run can do, a job file can say, by the same name.
func TestFields(t *testing.T) {
	t.Parallel()
	fields := jobspec.Fields()
	for _, f := range flagTable {
		switch {
		case f.about == unsupported || f.about == "":
		case notFields[f.name] != "":
			assert.NotContains(t, fields, f.name)
		default:
			assert.Contains(t, fields, f.name, "a field of jobspec.Flags, or a reason in notFields")
		}
	}
	for name := range notFields {
		assert.True(t, slices.Contains(flagNames(), name), name)
	}
}
