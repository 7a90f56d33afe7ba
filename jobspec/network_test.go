package jobspec

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
)

// beside answers for names that lie beside the job file.
type beside struct{}

func (beside) Resolve(name string, write bool) (string, error) {
	if write {
		return "", errors.New("not for writing")
	}
	return "/beside/" + name, nil
}

// TestNetwork: what the command line allows, jobs get as the file says it.
func TestNetwork(t *testing.T) {
	t.Parallel()
	read := func(fields string) (*Batch, error) {
		text := "defaults: {net: slirp}\njobs:\n  a: {run: [x], " + fields + "}\n"
		return Load("jobs.yaml", Options{Networks: true, FS: files("jobs.yaml", text)})
	}
	b, err := read("net-allow: ['10.0.0.1:80', dns], publish: '8080:80', net-rate: 1m/s")
	require.NoError(t, err)
	assert.Equal(t, []string{"net=slirp", "net-allow=10.0.0.1:80", "net-allow=dns", "publish=8080:80", "net-rate=1048576"}, b.Jobs[0].Network())
	b, err = read("net: none")
	require.NoError(t, err)
	assert.Nil(t, b.Jobs[0].Network())
	for fields, want := range map[string]string{
		"net-rate: 10":                       "a.net-rate: 10 bytes a second let nothing through; did you mean 10k?",
		"net: none, net-allow: '10.0.0.0/8'": "a.net-allow: is for a network that the job does not have; add net: slirp",
		"net: host":                          "a.net: the host's network needs --unsafe net-host, which stands on a command line or nowhere",
	} {
		_, err := read(fields)
		assert.ErrorContains(t, err, want)
	}
}

// TestProfile: a filter of the file's own is read where the command line allows
// it, from where the name really leads.
func TestProfile(t *testing.T) {
	t.Parallel()
	want := &sandbox.Filter{}
	var asked string
	o := Options{FS: files("jobs.yaml", "jobs: {a: {run: [x], seccomp: own.json}}"), Host: beside{}}
	_, err := Load("jobs.yaml", o)
	require.ErrorContains(t, err, "--allow-seccomp")
	o.Profile = func(path string) (*sandbox.Filter, error) {
		asked = path
		return want, nil
	}
	b, err := Load("jobs.yaml", o)
	require.NoError(t, err)
	s, err := b.Jobs[0].Spec(o)
	require.NoError(t, err)
	assert.Same(t, want, s.Filter)
	assert.Equal(t, "own.json", s.Seccomp)
	assert.Equal(t, "/beside/own.json", asked)
	o.Profile = func(string) (*sandbox.Filter, error) { return nil, errors.New("lets everything pass") }
	_, err = Load("jobs.yaml", o)
	assert.ErrorContains(t, err, `a.seccomp: "own.json": lets everything pass`)
}

func TestRequire(t *testing.T) {
	t.Parallel()
	text := "jobs: {a: {run: [x], require: [cgroup, landlock]}, b: {run: [x], require: overlay}}"
	b, err := load(t, text)
	require.NoError(t, err)
	for i, want := range [][]string{{sandbox.WallLandlock}, {sandbox.RequireOverlay}} {
		s, err := b.Jobs[i].Spec(Options{})
		require.NoError(t, err)
		assert.Equal(t, i == 0, s.Limits.RequireCgroup)
		assert.Equal(t, want, s.Require)
	}
}
