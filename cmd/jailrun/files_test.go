package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
)

func TestBind(t *testing.T) {
	for value, want := range map[string]sandbox.Bind{
		"src":                    {Source: "src"},
		"src:ro":                 {Source: "src"},
		"src:rw":                 {Source: "src", Writable: true},
		"src:/dst":               {Source: "src", Target: "/dst"},
		"./rw":                   {Source: "./rw"},
		"src:/dst:rw,noexec":     {Source: "src", Target: "/dst", Writable: true, NoExec: true},
		"~/x:/dst:optional":      {Source: "~/x", Target: "/dst", Optional: true},
		"/a b:/c d:sockets":      {Source: "/a b", Target: "/c d", Sockets: true},
		"src:/rw":                {Source: "src", Target: "/rw"},
		"src:noexec,optional,ro": {Source: "src", NoExec: true, Optional: true},
	} {
		r := &request{}
		require.NoError(t, r.addBind(value), value)
		assert.Equal(t, []sandbox.Bind{want}, r.spec.Binds, value)
	}
	for value, want := range map[string]string{
		"":                `"" has no SRC`,
		":/dst":           "has no SRC",
		"src:dst":         `"dst" is neither a DST, which starts with /, nor OPTS`,
		"src:rww":         `"rww" is neither`,
		"src:rw,x":        `"rw,x" is neither`,
		"src:/a:/b":       "too many colons",
		"src:/dst:bad":    "too many colons",
		"src:/dst:ro,rw":  "both ro and rw",
		"src:":            `"" is neither`,
		"a:b:/dst:rw":     "too many colons",
		"src:/dst:rw:rw":  "too many colons",
		"src:/dst:,rw":    "too many colons",
		"C:/windows:/dst": "too many colons",
	} {
		r := &request{}
		require.ErrorContains(t, r.addBind(value), want, value)
		assert.Empty(t, r.spec.Binds, value)
	}
}

func TestMount(t *testing.T) {
	for value, want := range map[string]sandbox.Bind{
		"src=a,dst=/b":                 {Source: "a", Target: "/b"},
		"source=a:b,target=/b:c,rw":    {Source: "a:b", Target: "/b:c", Writable: true},
		`"src=a,b","dst=/c""d",noexec`: {Source: "a,b", Target: `/c"d`, NoExec: true},
		"src=a":                        {Source: "a"},
		`src=a"b`:                      {Source: `a"b`},
		"optional,src=a=b,dst=/x,ro":   {Source: "a=b", Target: "/x", Optional: true},
		`sockets,"src=` + "a\nb" + `"`: {Source: "a\nb", Sockets: true},
	} {
		r := &request{}
		require.NoError(t, r.addMount(value), value)
		assert.Equal(t, []sandbox.Bind{want}, r.spec.Binds, value)
	}
	for value, want := range map[string]string{
		"":                `unknown option ""`,
		"dst=/b":          "has no src=",
		"src=a,dst=b":     "dst does not start with /",
		"src=a,read":      `unknown option "read"`,
		`"src=a`:          "a quote is not closed",
		`"src=a"b`:        "text follows a closing quote",
		"src=a,ro,rw":     "both ro and rw",
		"src=a,dst=/b,":   `unknown option ""`,
		"type=bind,src=a": `unknown option "type=bind"`,
	} {
		r := &request{}
		require.ErrorContains(t, r.addMount(value), want, value)
		assert.Empty(t, r.spec.Binds, value)
	}
}

// A bind never gains a right that its text does not name.
func FuzzBind(f *testing.F) {
	for _, s := range []string{"a:/b:rw", "a:rw", `"src=a,b",dst=/c`, "a:/b:ro,rw"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := &request{}
		if r.addBind(value) == nil {
			b := r.spec.Binds[0]
			assert.NotEmpty(t, b.Source)
			assert.True(t, b.Target == "" || b.Target[0] == '/')
			if b.Writable {
				assert.Contains(t, value, ":")
				assert.Contains(t, value, "rw")
			}
		}
		r = &request{}
		if r.addMount(value) == nil {
			assert.NotEmpty(t, r.spec.Binds[0].Source)
			if r.spec.Binds[0].Writable {
				assert.Contains(t, value, "rw")
			}
		}
	})
}
