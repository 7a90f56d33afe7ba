package report

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"

	"github.com/jailrun/jailrun/sandbox/plain"
)

// mostAnnotations is about what GitHub shows of one step.
const mostAnnotations = 50

// mostLines is how much of an output the log shows; results have more.
const mostLines = 40

// GitHub writes annotations for the jobs that did not pass, and what they
// printed, for the log of GitHub Actions.
//
// The log is also where workflow commands are read from: a line ::NAME:: of a
// job would be one. Their output is printed between ::stop-commands::TOKEN and
// ::TOKEN::, with a token that no job can know, and as printable lines each of
// which is indented.
func GitHub(w io.Writer, d *Data) error {
	var b strings.Builder
	token := rand.Text()
	shown := 0
	for i := range d.Jobs {
		j := &d.Jobs[i]
		if j.Passed || j.skipped() {
			continue
		}
		if shown++; shown > mostAnnotations {
			break
		}
		fmt.Fprintf(&b, "::error title=%s::%s\n", property(j.ID), message(j.reason()))
		if j.Out+j.Err == "" {
			continue
		}
		fmt.Fprintf(&b, "::group::%s\n::stop-commands::%s\n", message(j.ID), token)
		for _, out := range [...]string{j.Out, j.Err} {
			lines := 0
			for line := range strings.Lines(out) {
				if lines++; lines > mostLines {
					b.WriteString("  | …\n")
					break
				}
				b.WriteString("  | " + plain.Printable(strings.TrimRight(line, "\r\n")) + "\n")
			}
		}
		fmt.Fprintf(&b, "::%s::\n::endgroup::\n", token)
	}
	if left := notPassed(d) - mostAnnotations; left > 0 {
		fmt.Fprintf(&b, "::warning::%d more jobs did not pass\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func notPassed(d *Data) int {
	n := 0
	for i := range d.Jobs {
		if !d.Jobs[i].Passed && !d.Jobs[i].skipped() {
			n++
		}
	}
	return n
}

// message is the text of a command: one line, its escapes as GitHub reads them.
func message(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(plain.Printable(s))
}

// property is the value of a property of a command.
func property(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(message(s))
}
