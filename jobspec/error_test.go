package jobspec

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFieldError(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*FieldError{
		"jobs.yaml:3:7: limits.mem: EOF": {File: "jobs.yaml", Line: 3, Column: 7, Field: "limits.mem", Err: io.EOF},
		"3:7: limits.mem: EOF":           {Line: 3, Column: 7, Field: "limits.mem", Err: io.EOF},
		"jobs.yaml: EOF":                 {File: "jobs.yaml", Err: io.EOF},
		"limits.mem: EOF":                {Field: "limits.mem", Err: io.EOF},
		"EOF":                            {Err: io.EOF},
	} {
		assert.Equal(t, want, e.Error())
		assert.ErrorIs(t, e, io.EOF)
	}
}
