package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/jailrun/jailrun/jobspec"
)

type suite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Time     string     `xml:"time,attr"`
	Stamp    string     `xml:"timestamp,attr"`
	Cases    []testcase `xml:"testcase"`
}

type testcase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Time    string   `xml:"time,attr"`
	Failure *trouble `xml:"failure"`
	Error   *trouble `xml:"error"`
	Skipped *trouble `xml:"skipped"`
	Out     string   `xml:"system-out,omitempty"`
	Err     string   `xml:"system-err,omitempty"`
}

type trouble struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
}

// JUnit writes the form that continuous integration servers read.
func JUnit(w io.Writer, d *Data) error {
	s := suite{
		Name: text(d.Name), Tests: len(d.Jobs),
		Time: seconds(d.End.Sub(d.Start).Seconds()), Stamp: d.Start.UTC().Format("2006-01-02T15:04:05"),
	}
	for i := range d.Jobs {
		j := &d.Jobs[i]
		c := testcase{Name: text(j.ID), Class: text(j.Family), Time: seconds(j.Wall.Seconds()), Out: text(j.Out), Err: text(j.Err)}
		why := &trouble{Message: text(j.reason()), Type: string(j.Code)}
		switch {
		case j.skipped():
			c.Skipped = why
			s.Skipped++
		case j.Passed:
		case j.Code == jobspec.Internal:
			c.Error = why
			s.Errors++
		default:
			c.Failure = why
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// text replaces what XML 1.0 cannot hold, not even escaped: most control
// characters, halves of surrogate pairs, U+FFFE, and bytes that are no UTF-8.
func text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, r < ' ' && r != '\t' && r != '\n' && r != '\r',
			r >= 0xD800 && r <= 0xDFFF, r == 0xFFFE, r == 0xFFFF, r > utf8.MaxRune:
			return '\uFFFD'
		}
		return r
	}, s)
}
