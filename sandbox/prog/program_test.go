package prog_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// TestForget: the steps that are left answer to the numbers they had.
func TestForget(t *testing.T) {
	p := &prog.Program{}
	p.AddInit(prog.StageRoot, prog.Mkdir("/a", 0o755), prog.SendReady(p.Slot("x")), prog.Reap())
	p.AddJob(prog.StageExec, prog.Chdir("/b"), prog.Await(p.SlotNamed("x")))
	q := p.Forget().Forget()
	q.Job = append(q.Job, prog.Chdir("/late"))
	for f, kept := range map[prog.Failure]bool{
		{Index: 0}: false, {Index: 1}: true, {Index: 2}: true, {Index: 3}: false,
		{InJob: true, Index: 0}: false, {InJob: true, Index: 1}: true, {InJob: true, Index: -1}: false,
	} {
		had, _ := p.Step(f)
		has, ok := q.Step(f)
		assert.Equal(t, kept, ok, f)
		if kept {
			assert.Equal(t, had.Name, has.Name, f)
		}
	}
	late, _ := q.Step(prog.Failure{InJob: true, Index: 2})
	assert.Equal(t, "chdir", late.Name)
	assert.Len(t, p.Init, 3, "the program itself stays as it is")
}

// TestForgetNothing: a program that never waits keeps all its steps.
func TestForgetNothing(t *testing.T) {
	p := minimal("/bin/true")
	q := p.Forget()
	assert.Len(t, q.Init, len(p.Init))
	assert.Len(t, q.Job, len(p.Job))
}
