package jobspec

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func files(pairs ...string) fstest.MapFS {
	fs := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fs[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1]), Mode: 0o644}
	}
	return fs
}

func load(t *testing.T, text string, more ...string) (*Batch, error) {
	t.Helper()
	return Load("jobs.yaml", Options{FS: files(append([]string{"jobs.yaml", text}, more...)...)})
}

func ids(b *Batch) (all []string) {
	for _, j := range b.Jobs {
		all = append(all, j.ID)
	}
	return all
}

func TestLoad(t *testing.T) {
	t.Parallel()
	b, err := load(t, `
version: 1
vars: {CC: gcc, N: "3"}
defaults: {mem: 64m, env: {A: "1"}}
templates:
  base: {cpu-time: 2s, env: {B: "2"}}
  slow: {extends: base, cpu-time: 10}
jobs:
  compile:
    matrix: {lang: [c, go], mode: [fast, small]}
    exclude: [{lang: go, mode: small}]
    extends: slow
    run: ["${CC}", "-D${matrix.lang}=$${x}", "${matrix.mode}"]
    outputs: {bin: /tmp/a.out}
  test:
    matrix: {lang: c, mode: fast}
    needs: compile
    inputs: {/home/job/a.out: compile.bin}
    foreach: tests/*.in
    run: [./a.out, "${case.name}"]
`, "tests/2.in", "", "tests/10.in", "", "tests/2.ans", "4\n", "tests/10.ans", "5\n")
	require.NoError(t, err)
	assert.Equal(t, []string{"compile/c/fast", "compile/c/small", "compile/go/fast", "test/c/fast/2", "test/c/fast/10"}, ids(b))
	assert.Equal(t, Words{"gcc", "-Dgo=${x}", "fast"}, b.Jobs[2].Run)
	assert.Equal(t, map[string]string{"A": "1", "B": "2"}, b.Jobs[0].Env)
	assert.Equal(t, []int{0}, b.Jobs[3].Needs)
	s, err := b.Jobs[3].Spec(Options{})
	require.NoError(t, err)
	assert.EqualValues(t, 64<<20, s.Limits.Memory)
	assert.EqualValues(t, "none", b.Jobs[0].CWD, "answers lie there")
	assert.Equal(t, "tests/10.ans", b.Jobs[4].Answer)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ text, want string }{
		"unknown":   {"jobs:\n  a:\n    run: [x]\n    memm: 1m\n", `jobs.yaml:4:5: a.memm: unknown field; did you mean mem?`},
		"underline": {"jobs:\n  a: {run: [x], stop_on: failure}\n", `jobs.yaml:2:17: a.stop_on: unknown field; did you mean stop-on?`},
		"unit":      {"jobs:\n  a: {run: [x], mem: 5q}\n", `jobs.yaml:2:22: a.mem: size "5q": unknown unit "q"; write plain bytes or a number with k, m, g or t, like 100m`},
		"twice":     {"jobs:\n  a: {run: [x], pids: 1, pids: 2}\n", `jobs.yaml:2:26: a.pids: is given twice, first in line 2`},
		"unsafe":    {"jobs:\n  a: {run: [x], unsafe: [net-host]}\n", `jobs.yaml:2:17: a.unsafe: a job file cannot give up a protection; --unsafe stands on a command line or nowhere`},
		"net":       {"jobs:\n  a: {run: [x], net: host}\n", `jobs.yaml:2:22: a.net: the host's network needs --unsafe net-host, which stands on a command line or nowhere`},
		"seccomp":   {"jobs:\n  a: {run: [x], seccomp: none}\n", `jobs.yaml:2:17: a.seccomp: none gives up the filter; that needs --unsafe seccomp-none, which stands on a command line or nowhere`},
		"network":   {"jobs:\n  a: {run: [x], net: slirp}\n", `jobs.yaml:2:17: a.net: slirp is not given to a job file's jobs unasked; jailrun batch --allow-net lets them have the networks that the file names`},
		"no net":    {"jobs:\n  a: {run: [x], publish: ['80:80']}\n", `jobs.yaml:2:17: a.publish: is for a network that the job does not have; add net: slirp`},
		"filter":    {"templates: {t: {seccomp: ./p}}\njobs:\n  a: {run: [x], extends: t}\n", `jobs.yaml:3:3: a.seccomp: "./p" may refuse less than the profiles of jailrun; jailrun batch --allow-seccomp takes those that the file brings along`},
		"require":   {"jobs:\n  a: {run: [x], require: [cgroup, landlok]}\n", `jobs.yaml:2:35: a.require[1]: "landlok" is not known; want cgroup, landlock, overlay; did you mean landlock?`},
		"cached":    {"jobs:\n  a: {run: [x], cache: true, layer: d}\n", `jobs.yaml:2:17: a.cache: does not go with layer: what lies there is no part of the key`},
		"sockets":   {"jobs:\n  a: {run: [x], bind: ['s:/s:sockets']}\n", `jobs.yaml:2:24: a.bind[0]: sockets need --unsafe bind-sockets, which stands on a command line or nowhere`},
		"env-pass":  {"jobs:\n  a: {run: [x], env-pass: '*'}\n", `jobs.yaml:2:17: a.env-pass: a job file never reads the caller's environment; jailrun batch --var-env NAME makes ${NAME}`},
		"string":    {"jobs:\n  a: {run: echo hi}\n", `jobs.yaml:2:12: a.run: want a list of words; a command line for a shell is [sh, -c, "echo hi"]`},
		"variable":  {"vars: {NAME: x}\njobs:\n  a: {run: [echo, '${NAMES}']}\n", `jobs.yaml:3:19: a.run[1]: ${NAMES} is not known; did you mean NAME?; declare it under vars, or write $${NAMES} to leave it to a shell`},
		"merge":     {"x: &x {mem: 1g}\njobs:\n  a: {<<: *x, run: [x]}\n", `jobs.yaml:1:1: x: unknown field`},
		"circle":    {"jobs:\n  a: {run: [x], needs: b}\n  b: {run: [x], needs: a}\n", `jobs.yaml:2:17: a.needs: goes round in a circle: a needs b needs a`},
		"needs":     {"jobs:\n  build: {run: [x]}\n  a: {run: [x], needs: biuld}\n", `jobs.yaml:3:17: a.needs: no job is called "biuld"; did you mean build?`},
		"answers":   {"jobs:\n  a: {run: [x], cwd: ro}\n  b: {run: [x], answer-text: '1'}\n", `jobs.yaml:2:17: a.cwd: "." would show the job "jobs.yaml", which holds answers; use cwd: none and bind what it needs`},
		"include":   {"include: ../other.yaml\njobs: {a: {run: [x]}}\n", `jobs.yaml:1:10: include: "../other.yaml" does not lie below the directory of the job file`},
		"documents": {"jobs: {a: {run: [x]}}\n---\njobs: {}\n", `jobs.yaml:2:1: here a second document starts; a job file is one, without ---`},
		"nul":       {"jobs: {a: {run: [\"a\\0b\"]}}\n", `jobs.yaml:1:18: a.run[0]: holds a NUL byte`},
		"raw nul":   {"jobs:\n  a\x00\n", `jobs.yaml:2:4: a NUL byte; a job file is text`},
		"syntax":    {"jobs:\n  a: [x\n  b: 3\n", `jobs.yaml:2:3: did not find expected ',' or ']'`},
		"empty":     {"", `jobs.yaml: is empty; jailrun spec example prints a starter`},
		"tag":       {"jobs:\n  a: {run: [!!binary eA==]}\n", `jobs.yaml:2:13: a.run[0]: the tag "!!binary" is not known here; leave it out`},
		"no value":  {"jobs:\n  a: {run: [x], mem: }\n", `jobs.yaml:2:22: a.mem: has no value; leave the field out, or write ""`},
	} {
		_, err := load(t, x.text)
		require.Error(t, err, name)
		var errs Errors
		if assert.ErrorAs(t, err, &errs, name) {
			assert.Equal(t, x.want, errs[0].Error(), name)
		}
	}
}
