package profile

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const head = "profile p\nunlisted ENOSYS\nforeign kill\ngroup g\nreason because\n"

func TestParse(t *testing.T) {
	p, err := Parse("f", "# a comment\n\n"+head+`
		allow read write
		EPERM fchmodat2=452
		args fcntl ioctl
		  EINVAL when arg1 in 7-9 0x10 and arg2 any 06000
		  kill when arg0 in 0xffffffff
		  allow otherwise
		group h
		reason others
		ENOLCK flock
	`, nil)
	require.NoError(t, err)
	clauses := []Clause{
		{Action: Errno(syscall.EINVAL), When: []Cond{{Arg: 1, In: []Range{{7, 9}, {16, 16}}}, {Arg: 2, Bits: 0o6000}}},
		{Action: Kill, When: []Cond{{Arg: 0, In: []Range{{0xffffffff, 0xffffffff}}}}},
		{Action: Allow},
	}
	assert.Equal(t, &Profile{Name: "p", Unlisted: Errno(syscall.ENOSYS), Foreign: Kill, Rules: []Rule{
		{Name: "read", Number: -1, Clauses: []Clause{{Action: Allow}}, Group: "g", Reason: "because", File: "f", Line: 9},
		{Name: "write", Number: -1, Clauses: []Clause{{Action: Allow}}, Group: "g", Reason: "because", File: "f", Line: 9},
		{Name: "fchmodat2", Number: 452, Clauses: []Clause{{Action: Errno(syscall.EPERM)}}, Group: "g", Reason: "because", File: "f", Line: 10},
		{Name: "fcntl", Number: -1, Clauses: clauses, Group: "g", Reason: "because", File: "f", Line: 11},
		{Name: "ioctl", Number: -1, Clauses: clauses, Group: "g", Reason: "because", File: "f", Line: 11},
		{Name: "flock", Number: -1, Clauses: []Clause{{Action: Errno(syscall.ENOLCK)}}, Group: "h", Reason: "others", File: "f", Line: 17},
	}}, p)
}

func TestParseFrom(t *testing.T) {
	parent := func(name string) (*Profile, error) {
		require.Equal(t, "base", name)
		return Parse("base", "profile base\nunlisted ENOSYS\nforeign ENOSYS\ngroup g\nreason r\nallow read write fchmodat2=452", nil)
	}
	p, err := Parse("f", "profile p\nfrom base\nforeign kill\ngroup g\nreason other\nEPERM write fchmodat2 mount", parent)
	require.NoError(t, err)
	assert.Equal(t, Errno(syscall.ENOSYS), p.Unlisted)
	assert.Equal(t, Kill, p.Foreign)
	var got []string
	for _, r := range p.Rules {
		got = append(got, r.Name+" "+r.Clauses[0].Action.String()+" "+r.Reason)
	}
	assert.Equal(t, []string{"read allow r", "write EPERM other", "fchmodat2 EPERM other", "mount EPERM other"}, got)
	assert.EqualValues(t, 452, p.Rules[2].Number, "the number is inherited")

	base, err := parent("base")
	require.NoError(t, err)
	assert.Equal(t, Allow, base.Rules[1].Clauses[0].Action, "the parent is not changed")
}

func TestParseParentErrors(t *testing.T) {
	missing := errors.New("missing")
	_, err := Parse("f", "profile p\nfrom base", func(string) (*Profile, error) { return nil, missing })
	require.ErrorIs(t, err, missing)

	var loop func(string) (*Profile, error)
	deep := 0
	loop = func(string) (*Profile, error) {
		if deep++; deep == 20 {
			return Parse("base", head+"allow read", nil)
		}
		return Parse("f", "profile p\nfrom p\ngroup g\nreason r\nallow read", loop)
	}
	_, err = loop("p")
	var syntax *SyntaxError
	require.ErrorAs(t, err, &syntax)
	assert.Contains(t, syntax.Msg, "more than 8 profiles")
}

func TestParseFaults(t *testing.T) {
	args := head + "args fcntl\n"
	for _, row := range []struct {
		text string
		line int
		msg  string
	}{
		{"", 1, "no profile line"},
		{"allow read", 1, "the first line must be"},
		{"profile", 1, "takes one word"},
		{"profile a b", 1, "takes one word"},
		{"profile p\nprofile q", 2, "a second profile line"},
		{"profile p\nunlisted allow", 2, "unlisted cannot be allow"},
		{"profile p\nforeign allow", 2, "foreign cannot be allow"},
		{"profile p\nunlisted EBADF", 2, `"EBADF" is not an answer`},
		{"profile p\nunlisted ENOSYS\ngroup g\nreason r\nallow read", 5, "unlisted and foreign must be given"},
		{"profile p\nfrom q", 2, "from is not allowed here"},
		{"profile p\nunlisted ENOSYS\nfrom q", 3, "from must follow"},
		{"profile p\nreason r", 2, "a reason without a group"},
		{"profile p\nallow read", 2, "before the first group"},
		{"profile p\ngroup g\nallow read", 3, "group g has no reason"},
		{"profile p\ngroup g\ngroup h", 3, "group g has no reason"},
		{"profile p\ngroup g\nreason", 3, "an empty reason"},
		{head + "reason again", 6, "a second reason"},
		{head + "group g", 6, "a second group g"},
		{head, 6, "no system call is named"},
		{head + "allow", 6, "names no system call"},
		{head + "args", 6, "names no system call"},
		{head + "permit read", 6, `"permit" is neither`},
		{head + "EAGAIN read", 6, `"EAGAIN" is neither`},
		{head + "allow read\nEPERM read", 7, "read stands here twice"},
		{head + "allow read read", 6, "read stands here twice"},
		{head + "allow Read", 6, "not the name of a system call"},
		{head + "allow 7", 6, "not the name of a system call"},
		{head + "allow =7", 6, "not the name of a system call"},
		{head + "allow x=-1", 6, "not a system call number"},
		{head + "allow x=99999", 6, "not a system call number"},
		{args, 7, "args fcntl has no otherwise"},
		{args + "allow read", 7, "followed by when or otherwise"},
		{args + "group h", 7, "has no otherwise yet"},
		{args + "allow otherwise", 7, "otherwise needs a clause before it"},
		{args + "allow", 7, "followed by when or otherwise"},
		{args + "allow when", 7, "a condition is"},
		{args + "allow when arg1 in", 7, "a condition is"},
		{args + "allow when arg6 in 1", 7, "not arg0 to arg5"},
		{args + "allow when 1 in 1", 7, "not arg0 to arg5"},
		{args + "allow when arg1 is 1", 7, "neither in nor any"},
		{args + "allow when arg1 any 0", 7, "any takes one number"},
		{args + "allow when arg1 any 1 2", 7, "any takes one number"},
		{args + "allow when arg1 in x", 7, "not a number of 32 bits"},
		{args + "allow when arg1 in 0x100000000", 7, "not a number of 32 bits"},
		{args + "allow when arg1 in -1", 7, "not a number of 32 bits"},
		{args + "allow when arg1 in 9-7", 7, "9-7 is empty"},
		{args + "allow when arg1 in 5 1-9", 7, "value 5 is given twice"},
		{args + "allow when arg1 in 0-0xffffffff", 7, "always holds"},
		{args + "allow when arg1 in 1 and", 7, "a condition is"},
		{args + "allow when arg1 in 1 and arg1 any 2", 7, "two conditions on arg1"},
		{args + strings.Repeat("kill when arg1 in 1\n", 17), 23, "more than 16 clauses"},
		{args + "kill when arg1 in" + strings.Repeat(" 1", 65), 7, "more than 64 values"},
		{strings.Repeat("#", maxText+1), 1, "longer than"},
	} {
		p, err := Parse("f", row.text, nil)
		var syntax *SyntaxError
		require.ErrorAs(t, err, &syntax, "%q", row.text)
		assert.Nil(t, p)
		assert.Equal(t, row.line, syntax.Line, "%q: %v", row.text, err)
		assert.Contains(t, syntax.Msg, row.msg, "%q", row.text)
		assert.Contains(t, err.Error(), "f:")
	}
}

func TestActionNames(t *testing.T) {
	for _, e := range errnos {
		a, ok := parseAction(e.name)
		require.True(t, ok)
		assert.Equal(t, e.name, a.String())
		assert.NotZero(t, a&0xffff, "errno 0 would be success")
	}
	assert.Equal(t, "0x50003", Errno(3).String())
	assert.Equal(t, "0x0", Action(0).String())
}
