package report

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// hostile is what a job may be called, say and print.
var hostile = []string{
	"</pre></details><script>alert(1)</script>",
	`"><img src=http://evil.example/x onerror=alert(1)>`,
	"]]></failure><testcase name='x'/>",
	"::error::pwned", "::stop-commands::x", "%0A::set-env name=A::b",
	"\x1b]0;title\x07\x1b[2J", "\x00\x01\ufffe\xff\xfe", "a\nnot ok 1\nBail out!", "# SKIP", "\u202eabc", "{{.Name}}",
	"\r\n::warning::x", "javascript:alert(1)", "&lt;b&gt;", "1..0 # skip all",
}

func data() *Data {
	d := &Data{Name: hostile[0], Start: time.Unix(1000, 0), End: time.Unix(1010, 0), Total: &batch.Total{
		Counts: map[jobspec.Code]int{"AC": 1, "WA": 3}, Scored: true, Points: 1, Of: 2,
		Groups: []batch.GroupTotal{{Name: hostile[1], Points: 1, Of: 2}},
	}}
	for i, s := range hostile {
		o := batch.Outcome{
			Code: "WA", Message: s, Out: s, Err: strings.Repeat(s+"\n", 100), Points: 1, Of: 2, Memory: int64(i) << 20,
			Start: time.Unix(1000, 0).Add(time.Duration(i) * time.Second / 2), End: time.Unix(1001, 0).Add(time.Duration(i) * time.Second / 2), Wall: time.Second,
		}
		switch i % 4 {
		case 1:
			o.Code, o.Passed = "AC", true
		case 2:
			o.Code = "SK"
		case 3:
			o.Code = "IE"
		}
		d.Jobs = append(d.Jobs, Job{s, s, o})
	}
	d.Jobs = append(d.Jobs, Job{ID: "not run"})
	return d
}

func render(t *testing.T, write func(io.Writer, *Data) error) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, write(&b, data()))
	return b.String()
}

func TestHTML(t *testing.T) {
	t.Parallel()
	page := render(t, HTML)
	assert.Contains(t, page, `content="default-src 'none'; style-src 'unsafe-inline'"`)
	lower := strings.ToLower(page)
	for _, bad := range []string{"<script", "<img", "<iframe", "<link", "href=", "src=\"", "<form", "<object", "url("} {
		assert.NotContains(t, lower, bad)
	}
	assert.Equal(t, strings.Count(lower, "<pre>"), strings.Count(lower, "</pre>"))
	assert.Contains(t, page, "&lt;script&gt;alert(1)&lt;/script&gt;", "it is shown as text")
	assert.Contains(t, page, "<svg")
	assert.NotContains(t, page, "NaN")
}

// TestJUnit: whatever a job prints, the file is XML with one case for each job.
func TestJUnit(t *testing.T) {
	t.Parallel()
	text := render(t, JUnit)
	var s suite
	require.NoError(t, xml.Unmarshal([]byte(text), &s))
	require.Len(t, s.Cases, len(hostile)+1)
	assert.Equal(t, 4, s.Failures)
	assert.Equal(t, 4, s.Errors)
	assert.Equal(t, 5, s.Skipped)
	assert.Equal(t, hostile[0], s.Cases[0].Name, "and what can be in XML is unchanged")
	assert.NotContains(t, text, "\x1b")
	assert.NotContains(t, text, "\x00")
}

func TestTAP(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSuffix(render(t, TAP), "\n"), "\n")
	assert.Equal(t, "TAP version 13", lines[0])
	assert.Equal(t, "1..17", lines[1])
	tests := 0
	for _, l := range lines[2:] {
		switch {
		case strings.HasPrefix(l, "ok "), strings.HasPrefix(l, "not ok "):
			tests++
		default:
			assert.True(t, strings.HasPrefix(l, "  "), l)
		}
		assert.Equal(t, plain.Printable(l), l)
	}
	assert.Equal(t, 17, tests)
}

// TestGitHub: no line of a job is a command.
func TestGitHub(t *testing.T) {
	t.Parallel()
	text := render(t, GitHub)
	quiet := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		token, stops := strings.CutPrefix(line, "::stop-commands::")
		switch {
		case quiet != "" && line == "::"+quiet+"::":
			quiet = ""
		case quiet != "":
			assert.True(t, strings.HasPrefix(line, "  | ") || line == "  | …", line)
		case stops:
			quiet = token
			assert.Greater(t, len(token), 20)
		default:
			assert.Regexp(t, `^::(error title=[^:,]*::|group::|endgroup::|warning::)`, line)
		}
		assert.NotContains(t, line, "\x1b")
		assert.NotContains(t, line, "\r")
	}
	assert.Empty(t, quiet)
}
