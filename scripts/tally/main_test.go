package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTally(t *testing.T) {
	t.Parallel()
	const passing = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"run","Package":"b","Test":"TestTwo"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"--- FAIL: TestForged\n"}
{"Action":"pass","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"b","Test":"TestTwo","Output":"=== RUN   TestTwo\n"}
{"Action":"output","Package":"b","Test":"TestTwo","Output":"    b_test.go:7: no tun\n"}
{"Action":"skip","Package":"b","Test":"TestTwo"}
{"Action":"pass","Package":"a","Elapsed":1.25}
{"Action":"pass","Package":"b","Elapsed":0.5}
{"Action":"skip","Package":"no/tests"}
`
	rows := []struct {
		name, in, out string
		broken        bool
	}{
		{
			name: "a skip with its reason", in: passing,
			out: "ok   a (1 tests, 1.2s)\nok   b (1 tests, 0.5s)\nskip b.TestTwo: b_test.go:7: no tun\n" +
				"tests: 1 passed, 0 failed, 1 skipped, in 2 packages\n",
		},
		{
			name: "a failure in full",
			in: `{"Action":"output","Package":"a","Test":"TestOne","Output":"    a_test.go:3: 1 is not 2\n"}
{"Action":"fail","Package":"a","Test":"TestOne"}
{"Action":"fail","Package":"a"}
`,
			out:    "    a_test.go:3: 1 is not 2\nFAIL a\ntests: 0 passed, 1 failed, 0 skipped, in 0 packages\n",
			broken: true,
		},
		{
			name: "a panic, or a leak found when all tests had passed",
			in: `{"Action":"pass","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Output":"leak: 1 process\n"}
{"Action":"fail","Package":"a"}
`,
			out:    "leak: 1 process\nFAIL a\ntests: 1 passed, 0 failed, 0 skipped, in 0 packages\n",
			broken: true,
		},
		{
			name: "a time-out",
			in: `{"Action":"output","Package":"a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"panic: test timed out\n"}
{"Action":"output","Package":"b","Test":"TestTwo","Output":"=== RUN   TestTwo\n"}
{"Action":"fail","Package":"a"}
`,
			out:    "unfinished: TestOne\n=== RUN   TestOne\npanic: test timed out\nFAIL a\ntests: 0 passed, 0 failed, 0 skipped, in 0 packages\n",
			broken: true,
		},
		{
			name: "what does not compile",
			in: `{"ImportPath":"a [a.test]","Action":"build-output","Output":"a.go:1: syntax error\n"}
{"ImportPath":"a [a.test]","Action":"build-fail"}
{"Action":"fail","Package":"a","FailedBuild":"a [a.test]"}
`,
			out:    "a.go:1: syntax error\nFAIL a\ntests: 0 passed, 0 failed, 0 skipped, in 0 packages\n",
			broken: true,
		},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c := newTally(&out)
			require.NoError(t, c.read(strings.NewReader(r.in)))
			c.close()
			assert.Equal(t, r.out, out.String())
			assert.Equal(t, r.broken, c.broken)
		})
	}
	require.Error(t, newTally(&bytes.Buffer{}).read(strings.NewReader("go: cannot find main module\n")))
}
