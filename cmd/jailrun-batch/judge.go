package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
	"github.com/jailrun/jailrun/jobspec/problem"
	"github.com/jailrun/jailrun/limits"
)

const judgeHelp = `jailrun judge judges submissions by an ICPC or Kattis problem package.

  jailrun judge [flags] PACKAGE [SUBMISSION…]

Without a SUBMISSION those of the package are judged, and each must get a verdict
that its directory under submissions/ allows. A SUBMISSION is a source file or a
directory of them; it must be accepted.

  --all                 run also the cases after the first that is not AC
  --time-limit DUR      instead of the package's

and the flags of jailrun batch: -j, --memory, --resume, --results, --junit, --tap,
--html, --github, --check, --quiet, … (jailrun batch --help).
Exit status: 0 all verdicts are as they must be, 1 some are not, 125 jailrun
failed, 130 interrupted.
`

func judge(args []string) int {
	o, err := parse("judge", judgeHelp, args)
	if err != nil {
		return usage(o, err)
	}
	if len(o.files) == 0 {
		return fail(errors.New("want a problem package"), "jailrun judge PACKAGE [SUBMISSION…]")
	}
	w, err := open(o, o.files[0])
	if err != nil {
		return fail(err, "")
	}
	defer w.close()
	p, b, err := w.readPackage(o.files[1:])
	if err != nil {
		return fail(err, "")
	}
	if p.TimeNote != "" && o.timeLimit == "" && !o.quiet {
		say("%s", p.TimeNote)
	}
	return w.run(b, strings.Join(append([]string{"."}, o.files[1:]...), "\x00"), func(sum *batch.Summary, total *batch.Total, err error) int {
		return concludeJudging(o, p, b, sum, total, err)
	})
}

// readPackage reads the package and makes the batch of it.
func (w *workplace) readPackage(submissions []string) (*problem.Package, *jobspec.Batch, error) {
	p, err := problem.Read(w.load.FS)
	if err != nil {
		return nil, nil, err
	}
	if w.timeLimit != "" {
		if p.TimeLimit, err = limits.ParseDuration(w.timeLimit); err != nil || p.TimeLimit < time.Millisecond {
			return nil, nil, fmt.Errorf("--time-limit %q: want a duration of at least 1ms", w.timeLimit)
		}
	}
	overlay := jobspec.Overlay{FS: w.load.FS, More: map[string][]byte{}}
	if len(submissions) > 0 {
		p.Submissions = nil
	}
	for i, name := range submissions {
		files, err := readSubmission(overlay.More, i, name)
		if err != nil {
			return nil, nil, err
		}
		if err := p.Add(filepath.Base(name), files); err != nil {
			return nil, nil, err
		}
	}
	if len(p.Submissions) == 0 {
		return nil, nil, errors.New("the package has no submissions, and none was named")
	}
	if overlay.More[problem.FileName], err = p.Generate(w.all); err != nil {
		return nil, nil, err
	}
	w.load.FS = overlay
	b, err := jobspec.Load(problem.FileName, w.load)
	return p, b, err
}

// readSubmission takes the files of a submission into memory.
func readSubmission(into map[string][]byte, number int, name string) ([]string, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	names := []string{name}
	if st.IsDir() {
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, err
		}
		names = nil
		for _, e := range entries {
			if e.Type().IsRegular() {
				names = append(names, filepath.Join(name, e.Name()))
			}
		}
	}
	var files []string
	for _, n := range names {
		const most = 16 << 20
		f, err := os.Open(n)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(f, most+1))
		f.Close()
		if err != nil || len(text) > most {
			return nil, errors.Join(err, fmt.Errorf("%s: cannot be read, or is more than 16 MiB", n))
		}
		inside := fmt.Sprintf(".jailrun-submission/%d/%s", number, filepath.Base(n))
		into[inside] = text
		files = append(files, inside)
	}
	return files, nil
}

// concludeJudging prints the table of submissions.
func concludeJudging(o *options, p *problem.Package, b *jobspec.Batch, sum *batch.Summary, total *batch.Total, err error) int {
	wrong := 0
	for _, x := range p.Judge(b, sum.Outcomes) {
		if !x.AsWanted {
			wrong++
		}
		if o.quiet && x.AsWanted {
			continue
		}
		text := fmt.Sprintf("%-3s %s (%s)", x.Code, x.Name, x.Language.Name)
		if x.Case != "" {
			text += " on " + x.Case
		}
		if x.Message != "" {
			text += ": " + x.Message
		}
		if !x.AsWanted && x.Expect != nil {
			text += fmt.Sprintf(" (must be %s)", strings.Trim(fmt.Sprint(x.Expect), "[]"))
		}
		say("%s", text)
	}
	switch {
	case err != nil || total.Counts[jobspec.Internal] > 0:
		return exitFailed
	case sum.Drained:
		return exitInterrupted
	case wrong > 0:
		return exitNotPassed
	}
	return exitPassed
}
