package jobspec

import (
	"path"
	"strings"
)

// hideAnswers keeps the expected outputs, and the job file that may hold them,
// from everything in a batch that judges: a submission that is compiled where
// the answers lie takes them along. So no job of such a batch sees the
// directory of the file unless it says so, and then none that holds answers.
func (l *loader) hideAnswers(b *Batch) {
	secret := map[string]bool{}
	for _, j := range b.Jobs {
		if j.Answer != "" {
			secret[path.Clean(j.Answer)] = true
		}
		if j.AnswerText != nil {
			secret[j.entry.src.name] = true
		}
	}
	if len(secret) == 0 {
		return
	}
	above := map[string]string{} // directory: a secret below it
	for s := range secret {
		for dir := s; dir != "."; {
			above[dir] = s
			dir = path.Dir(dir)
		}
		above["."] = s
	}
	checked := map[string]bool{}
	for _, j := range b.Jobs {
		if j.Interact != nil {
			continue // its sides see nothing they do not name
		}
		if j.CWD == "" {
			j.CWD = "none"
		}
		if j.CWD != "none" {
			l.hide(j, "cwd", j.Dir, above, checked)
		}
		for _, m := range j.Bind {
			l.hide(j, "bind", m.Source, above, checked)
		}
		for _, c := range j.CopyIn {
			l.hide(j, "copy-in", c.Source, above, checked)
		}
	}
}

// hide refuses to show a directory that holds a secret.
func (l *loader) hide(j *Instance, field, dir string, above map[string]string, checked map[string]bool) {
	dir = path.Clean(strings.TrimPrefix(dir, "./"))
	key := j.Family + "\x00" + field + "\x00" + dir
	if checked[key] {
		return
	}
	checked[key] = true
	if s := above[dir]; s != "" {
		l.failAt(j.entry, field, "%s would show the job %s, which holds answers; use cwd: none and bind what it needs", quote(dir), quote(s))
	}
}
