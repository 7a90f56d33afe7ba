package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/cmd/jailrun-selftest/attack"
	"github.com/jailrun/jailrun/sandbox"
)

func TestParse(t *testing.T) {
	all := []string{"default", "judge", "strict"}
	for _, tt := range []struct {
		args  []string
		want  options
		wrong string
	}{
		{nil, options{profiles: all}, ""},
		{[]string{"--all", "--seccomp", "judge"}, options{profiles: []string{"judge"}, all: true}, ""},
		{[]string{"--seccomp=strict", "--map", "auto", "--format=json"}, options{profiles: []string{"strict"}, idMap: "auto", json: true}, ""},
		{[]string{"--seccomp", "none"}, options{}, `--seccomp "none": want one of default, judge, strict`},
		{[]string{"--map"}, options{}, "--map needs a value: self, auto"},
		{[]string{"everything"}, options{}, `"everything" is no flag of selftest`},
	} {
		o, err := parse(tt.args)
		if tt.wrong != "" {
			assert.EqualError(t, err, tt.wrong)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, tt.want, o)
	}
}

func TestReport(t *testing.T) {
	r := &report{Kernel: "6.1", Tier: "watchdog", Map: "self", Held: 2, Failed: 1, Confinement: []sandbox.Wall{{Name: "root"}, {Name: "landlock", Evidence: "no such call", Missing: true}}, Trials: []trial{
		{"A25", "unshare-user", "default", "EPERM", "refused", true},
		{"A06", "pid1-exe", "default", "EACCES", "refused", true},
		{"A06", "pid1-mem", "default", "worked", "refused", false},
	}}
	var b bytes.Buffer
	require.NoError(t, r.text(&b, false))
	assert.Equal(t, `ROW  ABOUT                  HELD    
A06  init, by way of /proc  1 of 2  
A25  new namespaces         1 of 1  

ROW  PROFILE  FAILED    OUTCOME  WANTED   
A06  default  pid1-mem  worked   refused  NOT HELD

3 attacks: 2 ended as required, 1 did not (linux 6.1, tier watchdog, map self)
walls: root
missing: landlock: no such call
rows that are not listed need more than a job: a listener or a file outside, a second job, root; tests/attacks in the source has them
`, b.String())
}

// TestTable: every row has words, every attack a name of its own.
func TestTable(t *testing.T) {
	names := map[string]bool{"nothing": true}
	for _, a := range attack.All() {
		assert.NotEmpty(t, about(a.Row), a.Row)
		assert.False(t, names[a.Name], a.Name)
		assert.NotContains(t, a.Name, " ")
		names[a.Name] = true
	}
}
