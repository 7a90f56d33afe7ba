package limits

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseOOM(t *testing.T) {
	const group = "run-5-6-0a1b2c3d-id"
	const head = "6,510,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a/" + group
	for name, c := range map[string]struct {
		record string
		want   Victim
		ok     bool
	}{
		"in the job":     {head + ",task_memcg=/a/" + group + "/job,task=python3,pid=4711,uid=1000\n SUBSYSTEM=x\n", Victim{4711, "python3"}, true},
		"a spoofed name": {head + ",task_memcg=/a/" + group + "/job,task=x,pid=1,uid=0,,pid=4711,uid=1000\n", Victim{4711, "x,pid=1,uid=0,"}, true},
		"another group":  {head + ",task_memcg=/a/run-9-6-0a1b2c3d-id/job,task=x,pid=1,uid=0\n", Victim{}, false},
		"a group named so by a process": {
			"6,1,1,-;oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/user,task=/" + group + ",pid=3,uid=0\n", Victim{}, false,
		},
		"another line": {"6,1,1,-;Memory cgroup out of memory: Killed process 7 (x)\n", Victim{}, false},
		"no pid":       {head + ",task_memcg=/a/" + group + "/job,task=x\n", Victim{}, false},
		"empty":        {"", Victim{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			v, ok := parseOOM([]byte(c.record), group)
			assert.Equal(t, c.ok, ok)
			if ok {
				assert.Equal(t, c.want, v)
			}
		})
	}
}

func FuzzParseOOM(f *testing.F) {
	f.Add("6,1,1,-;oom-kill:a,task_memcg=/run-1/job,task=x,pid=1,uid=0\n")
	f.Fuzz(func(_ *testing.T, record string) { parseOOM([]byte(record), "run-1") })
}
