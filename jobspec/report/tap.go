package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/jailrun/jailrun/sandbox/plain"
)

// TAP writes version 13 of the Test Anything Protocol.
func TAP(w io.Writer, d *Data) error {
	var b strings.Builder
	fmt.Fprintf(&b, "TAP version 13\n1..%d\n", len(d.Jobs))
	for i := range d.Jobs {
		j := &d.Jobs[i]
		word, directive := "ok", ""
		switch {
		case j.skipped():
			directive = " # SKIP " + oneLine(j.reason())
		case !j.Passed:
			word = "not ok"
		}
		fmt.Fprintf(&b, "%s %d - %s%s\n", word, i+1, oneLine(j.ID), directive)
		if word == "not ok" {
			fmt.Fprintf(&b, "  ---\n  verdict: %s\n  message: %q\n  wall_ns: %d\n  ...\n",
				j.Code, plain.Printable(j.Message), j.Wall.Nanoseconds())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// oneLine is one line in which a # starts no directive.
func oneLine(s string) string {
	return strings.ReplaceAll(plain.Printable(s), "#", `\#`)
}
